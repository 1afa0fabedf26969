"""Settings that are wrong by themselves or contradict one another: one line each, with the variable and the cure.

Asked at the end of `settings.py`, so that server, worker, beat and commands refuse alike. No line holds a secret, nor
an address that may hold one.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured, ValidationError

from gateway_site import declared, env, mounts

Given = Mapping[str, Any]

SETTLE_SECONDS = 15  # as the server's, which may not be imported here
LEAST_KEY, LEAST_TOKEN, LEAST_DIFFERENT = 50, 24, 5
_PLACEHOLDER = re.compile(
    r"change.?me|placeholder|replace.?(me|this|with)|your.?(secret|key|token)|insecure|…|xxxx", re.I
)
_ALIKE = 0.86  # so alike that a name must be meant for another
_DATABASES = ("postgres", "postgresql", "psql", "pgsql", "postgis", "sqlite")
_BROKERS = ("redis", "rediss", "amqp", "amqps", "pyamqp", "redis+socket", "filesystem", "sentinel", "memory")


def told(given: Given) -> Iterator[str]:
    """All that is wrong with these settings."""
    yield from _misspelt()
    yield from _stores(given)
    yield from _addresses(given)
    yield from _secrets(given)
    yield from _pairs(given)
    if env.PRODUCTION:
        yield from _of_production(given)


def _misspelt() -> Iterator[str]:
    """A name that is nobody's may be somebody else's. One that is nearly ours is refused."""
    known = declared.NAMES | {f"{name}_FILE" for name in declared.NAMES}
    for name in sorted(env.given() - known):
        if not name.startswith("WEIR_") or env.is_linked(name):
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield f"{name} is no setting: did you mean {near[0]}?"


def database(address: str) -> str:
    """Before it is made use of. Empty: nothing is wrong with it."""
    url = _parsed(address, hosts=True)
    if url is None or url.scheme not in _DATABASES:
        return "DATABASE_URL must be like postgres://user:password@host:5432/name, or sqlite:////folder/file."
    if len(url.path) < 2 and (url.scheme == "sqlite" or "service" not in parse_qs(url.query)):
        return "DATABASE_URL names no database: end it with /name, or name a service of libpq's (/?service=name)."
    if url.scheme == "sqlite" and env.PRODUCTION and "DATABASE_URL" in env.given():
        return "DATABASE_URL is SQLite, which is for one machine: production needs postgres://user:password@host/name."
    return ""


def _stores(given: Given) -> Iterator[str]:
    if given["REDIS_URL"]:
        url = _parsed(given["REDIS_URL"])
        if url is None or url.scheme not in ("redis", "rediss", "unix") or not (url.hostname or url.path):
            yield "REDIS_URL must be like redis://:password@host:6379/0, rediss:// for TLS, or unix:///run/redis.sock."
        elif url.scheme != "unix" and not re.fullmatch(r"/?\d*", url.path):
            yield "REDIS_URL must end with the number of a database, such as /0."
    url = _parsed(given["CELERY_BROKER_URL"].split(";")[0])
    if url is None or url.scheme not in _BROKERS:
        yield f"CELERY_BROKER_URL must begin with one of {', '.join(f'{name}://' for name in _BROKERS[:4])}."


def _addresses(given: Given) -> Iterator[str]:
    for name in ("WEIR_BASE_URL", "WEIR_QDRANT_URL", "WEIR_PRESIDIO_URL"):
        if given[name] and not _is_web(_parsed(given[name])):
            yield f"{name} must be a URL such as https://weir.example.org."
    for word in _trusted(given):
        url = _parsed(word)
        if not _is_web(url) or (url and url.path):
            yield f"WEIR_TRUSTED_ORIGINS must be origins such as https://app.example.org, not {word!r}."
    for word in given["WEIR_CORS_ORIGINS"]:
        if not _is_sent(word):
            yield f"WEIR_CORS_ORIGINS must be origins such as https://app.example.org, not {word!r}."
    for word in given["WEIR_TRUSTED_PROXIES"]:
        if word not in ("*", "none") and not _is_network(word):
            yield f"WEIR_TRUSTED_PROXIES must be ranges such as 10.0.0.0/8, or none, not {word!r}."
    for word in given["ALLOWED_HOSTS"]:
        if "/" in word or " " in word:
            yield f"WEIR_ALLOWED_HOSTS must be host names such as weir.example.org, not {word!r}."
    if "@" not in given["DEFAULT_FROM_EMAIL"]:
        yield "WEIR_EMAIL_FROM must be an address such as weir@example.org."
    if given["WEIR_LOG_FORMAT"] not in ("json", "console"):
        yield f"WEIR_LOG_FORMAT must be json or console, not {given['WEIR_LOG_FORMAT']!r}."
    folder = given["WEIR_JOURNAL_DIR"]
    if given["WEIR_DURABILITY"] == "power" and (kind := mounts.in_memory(folder)):
        yield (
            f"WEIR_JOURNAL_DIR: {folder} lies in memory ({kind}), and WEIR_DURABILITY=power promises to survive a "
            "power cut: name a folder on a disk."
        )


def _secrets(given: Given) -> Iterator[str]:
    from apps.catalog import keyring

    if not given["WEIR_KEYRING"]:
        return  # told as missing
    try:
        keyring.named(given["WEIR_KEYRING"])
    except ImproperlyConfigured as error:
        yield str(error)
        return
    others = {"WEIR_SECRET_KEY": given["SECRET_KEY"], "WEIR_OPERATOR_TOKEN": given["WEIR_OPERATOR_TOKEN"]}
    for name, value in others.items():
        if value and keyring.holds(given["WEIR_KEYRING"], value):
            yield f"WEIR_KEYRING repeats {name}: give it a value of its own (openssl rand -base64 32)."
    if others["WEIR_SECRET_KEY"] and others["WEIR_SECRET_KEY"] == others["WEIR_OPERATOR_TOKEN"]:
        yield "WEIR_OPERATOR_TOKEN repeats WEIR_SECRET_KEY: give it a value of its own (openssl rand -base64 48)."


def _pairs(given: Given) -> Iterator[str]:
    if given["WEIR_QDRANT_API_KEY"] and not given["WEIR_QDRANT_URL"]:
        yield "WEIR_QDRANT_API_KEY is set without WEIR_QDRANT_URL: name the server that it is for, or unset it."
    if given["WEIR_FETCH_NETWORKS"] and not given["WEIR_FETCH_URLS"]:
        yield "WEIR_FETCH_NETWORKS is set though WEIR_FETCH_URLS is off: turn that on, or unset the networks."
    if given["WEIR_VAULT_TOKEN"] and given["WEIR_VAULT_TOKEN_FILE"]:
        yield "WEIR_VAULT_TOKEN and WEIR_VAULT_TOKEN_FILE are both set: unset one."
    takes = given["WEIR_PRESTOP_SECONDS"] + given["WEIR_DRAIN_SECONDS"] + SETTLE_SECONDS
    if 0 < given["WEIR_STOP_SECONDS"] < takes:
        yield (
            f"WEIR_STOP_SECONDS: a process is killed after {given['WEIR_STOP_SECONDS']:g} s, and takes up to {takes:g}"
            f" s to end (WEIR_PRESTOP_SECONDS + WEIR_DRAIN_SECONDS + {SETTLE_SECONDS}): let the supervisor wait longer,"
            " or lower WEIR_DRAIN_SECONDS."
        )


def _of_production(given: Given) -> Iterator[str]:
    if given["DEBUG"]:
        yield "WEIR_DEBUG is on, which shows settings to whoever meets an error: unset it."
    if "*" in given["ALLOWED_HOSTS"]:
        yield "WEIR_ALLOWED_HOSTS admits every host: name yours."
    elif not given["ALLOWED_HOSTS"]:
        yield "WEIR_ALLOWED_HOSTS is empty: name the hosts under which pages are answered."
    base = _parsed(given["WEIR_BASE_URL"])
    if "WEIR_BASE_URL" not in env.given():
        yield "WEIR_BASE_URL is not set: say where people and programs reach this installation."
    elif base is not None and base.scheme == "http" and not _is_here(base.hostname or ""):
        yield "WEIR_BASE_URL must be https: sessions and keys would go in the clear."
    if not given["WEIR_TRUSTED_PROXIES"]:
        yield (
            "WEIR_TRUSTED_PROXIES is empty, so networks of keys, locks on guessers and the audit log would see the "
            "balancer's address: name its ranges, or say none where there is no balancer."
        )
    key = given["SECRET_KEY"]
    if key and (len(key) < LEAST_KEY or len(set(key)) < LEAST_DIFFERENT or _PLACEHOLDER.search(key)):
        yield f"WEIR_SECRET_KEY is a placeholder or has fewer than {LEAST_KEY} characters: openssl rand -base64 48."
    token = given["WEIR_OPERATOR_TOKEN"]
    if token and (len(token) < LEAST_TOKEN or len(set(token)) < LEAST_DIFFERENT or _PLACEHOLDER.search(token)):
        told = f"WEIR_OPERATOR_TOKEN is a placeholder or has fewer than {LEAST_TOKEN} characters"
        yield f"{told}: openssl rand -base64 48."
    if given["WEIR_KEYRING"] and _PLACEHOLDER.search(given["WEIR_KEYRING"]):
        yield "WEIR_KEYRING is a placeholder: openssl rand -base64 32."


def _trusted(given: Given) -> list[str]:
    return [word.replace("*.", "", 1) for word in given["CSRF_TRUSTED_ORIGINS"]]


def _is_sent(origin: str) -> bool:
    """As endpoints have it: programs that show pages send schemes of their own, and a sandbox sends `null`."""
    from apps.catalog import validators

    try:
        validators.validate_origins([origin])
    except ValidationError:
        return origin == "null"
    return True


def _parsed(url: str, *, hosts: bool = False) -> SplitResult | None:
    """None: it cannot be read at all. `hosts`: there may be several, each with its port, which libpq reads."""
    try:
        parts = urlsplit(url)
        if not (hosts and "," in parts.netloc):
            _ = parts.port
    except ValueError:
        return None
    return parts


def _is_web(url: SplitResult | None) -> bool:
    return url is not None and url.scheme in ("http", "https") and bool(url.hostname) and not url.query


def _is_network(word: str) -> bool:
    try:
        ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
    return True


def _is_here(host: str) -> bool:
    return host == "localhost" or (_is_network(host) and ipaddress.ip_network(host).is_loopback)
