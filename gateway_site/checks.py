"""What Django's own `check --deploy` does not know about an installation of Weir."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from apps.outbound.vectors import is_installed
from apps.policies import selectors as policies
from gateway_site import csp, declared, env, mounts

# What Kubernetes and Docker put beside a service called weir; what images say to their own start.
_LINKED = re.compile(r"WEIR_(\w+_)?(SERVICE_(HOST|PORT)|PORT(_\d+_(TCP|UDP)\w*)?|HOST|TEST_\w+)")
# What no provider and no picture of a caller's lies in: this host's own services, and the cloud's secrets.
_INWARD = tuple(ipaddress.ip_network(cidr) for cidr in ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"))
_WIDEST = {4: 8, 6: 7}  # bits, of the largest private ranges
_NO_BOUNDS: dict[str, Callable[[Any], bool]] = {
    "WEIR_HEADER_SECONDS": lambda value: value > 120,
    "WEIR_BODY_SECONDS": lambda value: value > 600,
    "WEIR_STALL_SECONDS": lambda value: value > 600,
    "WEIR_MAX_HEADER_BYTES": lambda value: value > 1 << 20,
    "WEIR_MIN_BYTES_PER_SECOND": lambda value: value == 0,
    "WEIR_MAX_CONNECTIONS": lambda value: value == 0,
}
_CSP = "gateway_site.csp.ContentSecurityPolicy"
_NO_QDRANT = "there is no qdrant-client: pip install --requirement requirements/semantic.txt."


def register() -> None:
    for check in _OF_DEPLOYMENT:
        checks.register(check, checks.Tags.security, deploy=True)
    checks.register(qdrant)
    checks.register(questions, checks.Tags.database)


def profile(**_: Any) -> list[checks.CheckMessage]:
    """The embedded profile makes up what is not set: secrets under `var/`, any host, plain cookies."""
    if env.PRODUCTION:
        return []
    return [checks.Error("This is the embedded profile: set WEIR_PROFILE=production.", id="weir.E010")]


def allowed_hosts(**_: Any) -> list[checks.CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [checks.Error("WEIR_ALLOWED_HOSTS admits every host: name yours.", id="weir.E011")]


def secret_files(**_: Any) -> list[checks.CheckMessage]:
    """A group may read them, as mounted secrets often need; everybody may not."""
    found: list[checks.CheckMessage] = []
    for name, path in sorted(env.SECRET_FILES.items()):
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            found.append(checks.Error(f"{name}: everybody on this host may use {path}.", id="weir.E012"))
    return found


def durability(**_: Any) -> list[checks.CheckMessage]:
    """What must survive a process, and by WEIR_DURABILITY=power a power cut, does not lie in memory."""
    found: list[checks.CheckMessage] = []
    for folder in sorted({settings.WEIR_JOURNAL_DIR, *_database_folders()}):
        if kind := mounts.in_memory(folder):
            told = f"{folder} lies in memory ({kind}): what is written there is gone when the host or container goes."
            grave = settings.WEIR_DURABILITY == "power"
            found.append(checks.Error(told, id="weir.E013") if grave else checks.Warning(told, id="weir.W013"))
    return found


def several(**_: Any) -> list[checks.CheckMessage]:
    if not env.PRODUCTION or settings.REDIS_URL:
        return []
    told = "REDIS_URL is empty: one gateway process may run, and no more."
    return [checks.Warning(told, id="weir.W014")]


def strangers(**_: Any) -> list[checks.CheckMessage]:
    """Whoever means a setting may have misspelt it; names that are nearly ours end the start."""
    known = declared.NAMES | {f"{name}_FILE" for name in declared.NAMES}
    names = sorted(name for name in env.given() - known if name.startswith("WEIR_") and not _LINKED.match(name))
    return [checks.Warning(f"{name} is no setting of Weir's: nobody reads it.", id="weir.W019") for name in names]


def qdrant_key(**_: Any) -> list[checks.CheckMessage]:
    if not settings.WEIR_QDRANT_API_KEY or not settings.WEIR_QDRANT_URL.startswith("http://"):
        return []
    told = "WEIR_QDRANT_API_KEY is sent in the clear: WEIR_QDRANT_URL should be https."
    return [checks.Warning(told, id="weir.W015")]


def pages(**_: Any) -> list[checks.CheckMessage]:
    """What Django does not ask of cookies and pages."""
    found: list[checks.CheckMessage] = []
    if _CSP not in settings.MIDDLEWARE or csp.STRICT["default-src"] != ["'none'"]:
        found.append(checks.Error("Pages have no strict Content-Security-Policy.", id="weir.E020"))
    if not settings.SESSION_COOKIE_HTTPONLY or settings.SESSION_COOKIE_SAMESITE not in ("Lax", "Strict"):
        found.append(checks.Error("The session's cookie is not HttpOnly and SameSite.", id="weir.E021"))
    return found


def planes(**_: Any) -> list[checks.CheckMessage]:
    """Whether every process is told to show pages at the address that programs call."""
    if not env.PRODUCTION or settings.WEIR_ROLE != "all" or "WEIR_ROLE" not in env.given():
        return []
    told = "WEIR_ROLE=all serves admin and portal at the port of calls: let gateways and control be processes apart."
    return [checks.Warning(told, id="weir.W022")]


def proxies(**_: Any) -> list[checks.CheckMessage]:
    """Whose word on a caller's address is taken."""
    if not any(map(_is_everybody, settings.WEIR_TRUSTED_PROXIES)):
        return []
    told = "WEIR_TRUSTED_PROXIES believes everybody's X-Forwarded-For: name the balancer's ranges."
    return [checks.Error(told, id="weir.E023")]


def _is_everybody(proxy: str) -> bool:
    if "/" not in proxy:
        return proxy == "*"
    network = ipaddress.ip_network(proxy, strict=False)
    return network.prefixlen < _WIDEST[network.version]


def callers(**_: Any) -> list[checks.CheckMessage]:
    """Whether a balancer that may not be named would have as many connections as one caller."""
    told_so = "WEIR_MAX_CONNECTIONS_PER_ADDRESS" in env.given()
    if not env.PRODUCTION or settings.WEIR_TRUSTED_PROXIES or told_so:
        return []
    told = (
        f"WEIR_TRUSTED_PROXIES=none: behind a balancer or a NAT all callers and probes are one address, which has "
        f"{settings.WEIR_MAX_CONNECTIONS_PER_ADDRESS} connections: set WEIR_MAX_CONNECTIONS_PER_ADDRESS, 0 there."
    )
    return [checks.Warning(told, id="weir.W027")]


def networks(**_: Any) -> list[checks.CheckMessage]:
    """Ranges that were opened to outgoing calls, and are more than somebody's own network."""
    found: list[checks.CheckMessage] = []
    for name in ("WEIR_PRIVATE_NETWORKS", "WEIR_FETCH_NETWORKS"):
        for cidr in getattr(settings, name):
            network = ipaddress.ip_network(cidr, strict=False)
            inward = any(network.version == other.version and network.overlaps(other) for other in _INWARD)
            if name == "WEIR_PRIVATE_NETWORKS" and network.is_loopback and network.num_addresses == 1:
                inward = False  # somebody's own model beside the gateway
            if inward or network.prefixlen < _WIDEST[network.version]:
                told = f"{name}: {cidr} holds more than a network of yours, such as this host's own services."
                found.append(checks.Warning(told, id="weir.W024"))
    return found


def bounds(**_: Any) -> list[checks.CheckMessage]:
    """Settings by which one client holds what others need, for as long or as much as it likes."""
    return [
        checks.Warning(f"{name}={value}: one client may hold a connection, or all of them, at will.", id="weir.W028")
        for name, is_none in _NO_BOUNDS.items()
        if is_none(value := getattr(settings, name))
    ]


def walls(**_: Any) -> list[checks.CheckMessage]:
    if settings.WEIR_SECOND_WALL or settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    told = "WEIR_SECOND_WALL is off: PostgreSQL does not keep tenants apart, only what Weir asks it does."
    return [checks.Warning(told, id="weir.W029")]


def links(**_: Any) -> list[checks.CheckMessage]:
    """Stores that are told secrets, prompts or names over a network in the clear. It may be a network of one's own."""
    found: list[checks.CheckMessage] = []
    for name, host, cure in _plain_links():
        if host and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1"):
            found.append(checks.Info(f"{name}: {host} is asked in the clear: {cure}.", id="weir.I030"))
    return found


def _plain_links() -> Iterator[tuple[str, str, str]]:
    database = settings.DATABASES["default"]
    options = database.get("OPTIONS", {})
    if not {"service", "sslmode"} & options.keys() or options.get("sslmode") in ("disable", "allow", "prefer"):
        yield "DATABASE_URL", database.get("HOST", ""), "say ?sslmode=verify-full"
    for name, schemes, cure in (
        ("REDIS_URL", ("redis",), "say rediss://"),
        ("CELERY_BROKER_URL", ("redis", "amqp"), "say rediss:// or amqps://"),
    ):
        url = urlsplit(getattr(settings, name) or "")
        if url.scheme in schemes:
            yield name, url.hostname or "", cure


def second_factors(**_: Any) -> list[checks.CheckMessage]:
    if not env.PRODUCTION or settings.WEIR_REQUIRE_TOTP != "nobody":
        return []
    told = "Staff with a password need no second factor: WEIR_REQUIRE_TOTP=staff, unless none of them has one."
    return [checks.Info(told, id="weir.I031")]


def faults(**_: Any) -> list[checks.CheckMessage]:
    if not settings.WEIR_FAILPOINT:
        return []
    return [checks.Error("WEIR_FAILPOINT breaks processes on purpose: unset it.", id="weir.E025")]


def qdrant(**_: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if settings.WEIR_QDRANT_URL and not is_installed():
        found.append(checks.Error(f"WEIR_QDRANT_URL is set, and {_NO_QDRANT}", id="weir.E016"))
    if settings.WEIR_QDRANT_URL and not settings.WEIR_QDRANT_URL.startswith(("http://", "https://")):
        found.append(checks.Error("WEIR_QDRANT_URL must begin with http:// or https://.", id="weir.E017"))
    return found


def questions(*, databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """With `--database`: whether policies ask for what is not installed."""
    if not databases or is_installed():
        return []
    try:
        is_wanted = policies.compares_questions()
    except DatabaseError:  # not migrated yet
        return []
    told = f"A cache policy compares questions, and {_NO_QDRANT} Its calls go on, uncompared."
    return [checks.Warning(told, id="weir.W018")] if is_wanted else []


def _database_folders() -> list[str]:
    database = settings.DATABASES["default"]
    return [str(Path(database["NAME"]).parent)] if database["ENGINE"].endswith("sqlite3") else []


_OF_DEPLOYMENT = (
    *(profile, allowed_hosts, secret_files, durability, several, strangers, qdrant_key),
    *(pages, planes, proxies, callers, networks, bounds, walls, links, second_factors, faults),
)
