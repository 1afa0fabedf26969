"""The installation's own address and its providers', by their certificates; how providers fare."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from apps.catalog import selectors as catalog
from apps.outbound import reach
from apps.outbound.guard import AddressRefused
from apps.status.doctor.findings import Finding, fine, problem, warning

SECONDS = 4.0
SOON_DAYS = 21
MOST_PROVIDERS = 50
_DAY = 86_400.0
_ANYWHERE = ("0.0.0.0/0", "::/0")  # who runs the installation says where it is


def address() -> Iterator[Finding]:
    base = urlsplit(settings.WEIR_BASE_URL)
    if base.scheme != "https":
        yield fine("address", f"{settings.WEIR_BASE_URL} is without TLS, on one machine")
        return
    url = f"https://{base.netloc}"
    yield _certificate("address", url, whose="this installation", networks=_ANYWHERE, is_ours=True)


def providers() -> Iterator[Finding]:
    rows = [row for row in catalog.providers_overview() if row["enabled"]]
    if not rows:
        yield warning("providers", "none is enabled", "Add one in the admin, with a credential and a model.")
        return
    for row in rows:
        yield from _health(row)
    secured = [row for row in rows if urlsplit(row["base_url"]).scheme == "https"][:MOST_PROVIDERS]
    opened = catalog.private_networks()

    def look(row: dict[str, Any]) -> Finding:
        return _certificate("providers", row["base_url"], whose=row["name"], networks=opened)

    with ThreadPoolExecutor(max_workers=8) as threads:
        yield from threads.map(look, secured)


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


def _certificate(about: str, url: str, *, whose: str, networks: Sequence[str], is_ours: bool = False) -> Finding:
    """What the gateway sees, and a client that trusts what this host trusts."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    make = problem if is_ours else warning
    try:
        ends = reach.certificate_ends(url, private_networks=networks, seconds=SECONDS)
    except ssl.SSLCertVerificationError as error:
        told = f"{whose}: the certificate of {host}:{port} is not believed: {error.verify_message}"
        return make(about, told, "Renew it, send its chain, or add its authority to what this host trusts.")
    except AddressRefused as error:
        return warning(about, f"{whose}: {host}:{port} is not asked: {error}", "Calls to it are refused likewise.")
    except (OSError, TimeoutError) as error:
        told = f"{whose}: {host}:{port} cannot be reached from here ({type(error).__name__})"
        return warning(about, told, "Where a proxy or firewall is meant to stop this, it says nothing; else mend it.")
    days = (ends - time.time()) / _DAY
    if days < SOON_DAYS:
        told = f"{whose}: the certificate of {host} ends in {days:.0f} days"
        return make(about, told, "Renew it, and see why that did not happen by itself.")
    return fine(about, f"{whose}: the certificate of {host} is good for {days:.0f} days")
