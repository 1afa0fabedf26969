"""The installation's own address and its providers', by their certificates; how providers fare."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from django.conf import settings

from apps.catalog import selectors as catalog
from apps.status.doctor.findings import Finding, fine, problem, warning

SECONDS = 4.0
SOON_DAYS = 21
MOST_PROVIDERS = 50
_DAY = 86_400.0


def address() -> Iterator[Finding]:
    base = urlsplit(settings.WEIR_BASE_URL)
    if base.scheme != "https":
        yield fine("address", f"{settings.WEIR_BASE_URL} is without TLS, on one machine")
        return
    yield _certificate("address", settings.WEIR_BASE_URL, whose="this installation", is_ours=True)


def providers() -> Iterator[Finding]:
    rows = [row for row in catalog.providers_overview() if row["enabled"]]
    if not rows:
        yield warning("providers", "none is enabled", "Add one in the admin, with a credential and a model.")
        return
    for row in rows:
        yield from _health(row)
    secured = [row for row in rows if urlsplit(row["base_url"]).scheme == "https"][:MOST_PROVIDERS]
    with ThreadPoolExecutor(max_workers=8) as threads:
        yield from threads.map(lambda row: _certificate("providers", row["base_url"], whose=row["name"]), secured)


def _health(row: dict[str, object]) -> Iterator[Finding]:
    name = row["name"]
    if not row["credentials"]:
        yield warning("providers", f"{name} has no credential that can be used", "Enter one in the admin.")
    if row["health"] == "unhealthy":
        told = f"{name} does not answer its checks: {str(row['last_check_message'])[:200]}"
        yield problem("providers", told, "Its own status page, its credential, and this host's way out may tell.")
    elif row["overdue"]:
        yield warning("providers", f"{name} was not checked of late", "The worker checks providers: does it run?")
    elif row["health"] in ("failing", "recovering"):
        yield warning("providers", f"{name} is {row['health']}", "Look at its checks in the admin.")
    else:
        yield fine("providers", f"{name} is {row['health']}")


def _certificate(about: str, url: str, *, whose: str, is_ours: bool = False) -> Finding:
    """What a client sees that trusts what this host trusts."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    make = problem if is_ours else warning
    try:
        with (
            socket.create_connection((host, port), timeout=SECONDS) as line,
            ssl.create_default_context().wrap_socket(line, server_hostname=host) as secured,
        ):
            ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        told = f"{whose}: the certificate of {host}:{port} is not believed: {error.verify_message}"
        return make(about, told, "Renew it, send its chain, or add its authority to what this host trusts.")
    except (OSError, ValueError, KeyError) as error:
        told = f"{whose}: {host}:{port} cannot be reached from here ({type(error).__name__})"
        return warning(about, told, "Where a proxy or firewall is meant to stop this, it says nothing; else mend it.")
    days = (ends - time.time()) / _DAY
    if days < SOON_DAYS:
        told = f"{whose}: the certificate of {host} ends in {days:.0f} days"
        return make(about, told, "Renew it, and see why that did not happen by itself.")
    return fine(about, f"{whose}: the certificate of {host} is good for {days:.0f} days")
