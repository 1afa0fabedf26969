"""Connecting to somebody and nothing else: that its port takes connections, and that its TLS can be trusted."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence

import aiohttp

from apps.outbound import asking
from apps.outbound.guard import AddressRefused, Guard
from apps.outbound.pool import GuardedResolver, tls_context
from apps.outbound.probe import ProbeResult

# First match wins: the more special ones come first.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (AddressRefused, "The provider's address may not be called. A private one has to be among the allowed networks."),
    (ssl.SSLError, "The provider's TLS could not be trusted."),
    (TimeoutError, "The provider did not accept a connection in time."),
    (socket.gaierror, "The provider's host name could not be resolved."),
    (ConnectionRefusedError, "The provider refused the connection."),
    (OSError, "The provider could not be connected to."),
)


def reach(
    base_url: str, *, private_networks: Sequence[str], seconds: float = 10.0, tls: ssl.SSLContext | None = None
) -> ProbeResult:
    """Never raises for what the provider does. `seconds` bounds the whole; `tls` replaces the machine's own."""
    return asking.run(_reach(base_url, private_networks, seconds, tls))


async def _reach(
    base_url: str, private_networks: Sequence[str], seconds: float, tls: ssl.SSLContext | None
) -> ProbeResult:
    started = time.monotonic()
    ok = True
    try:
        async with asyncio.timeout(seconds):
            message = await _connect(base_url, Guard(private_networks), tls)
    except (OSError, TimeoutError) as error:
        ok, message = False, next(words for kind, words in _WORDS if isinstance(error, kind))
    return ProbeResult(ok=ok, status=0, milliseconds=round((time.monotonic() - started) * 1000), message=message)


def certificate_ends(
    base_url: str, *, private_networks: Sequence[str], seconds: float = 10.0, tls: ssl.SSLContext | None = None
) -> float:
    """Unix seconds until when the certificate there is good. Raises OSError, of which are AddressRefused and ssl's own
    where it is not believed, and TimeoutError."""
    return asking.run(_certificate_ends(base_url, private_networks, seconds, tls))


async def _certificate_ends(
    base_url: str, private_networks: Sequence[str], seconds: float, tls: ssl.SSLContext | None
) -> float:
    async with asyncio.timeout(seconds):
        writer = await _opened(base_url, Guard(private_networks), tls)
    try:
        shown = writer.get_extra_info("peercert") or {}
    finally:
        writer.transport.abort()
    if "notAfter" not in shown:
        raise OSError("There is no certificate.")
    return float(ssl.cert_time_to_seconds(shown["notAfter"]))


async def _connect(base_url: str, guard: Guard, tls: ssl.SSLContext | None) -> str:
    writer = await _opened(base_url, guard, tls)
    writer.transport.abort()  # it was not to say anything, and has not to
    return "The provider takes connections" + (", and its TLS is good." if base_url.startswith("https") else ".")


async def _opened(base_url: str, guard: Guard, tls: ssl.SSLContext | None) -> asyncio.StreamWriter:
    """By the first of its addresses that takes a connection, each judged before; raises what the last one met."""
    target = guard.check_url(base_url)
    encrypted = target.scheme == "https"
    port = target.port or (443 if encrypted else 80)
    found = await GuardedResolver(guard, inner=aiohttp.ThreadedResolver()).resolve(
        target.host, port, socket.AddressFamily.AF_UNSPEC
    )
    failure: OSError = ConnectionRefusedError()
    for address in found:
        guard.check_address(address["host"], encrypted=encrypted)
        try:
            _, writer = await asyncio.open_connection(
                address["host"],
                address["port"],
                ssl=(tls or tls_context()) if encrypted else None,
                server_hostname=target.host if encrypted else None,
            )
        except OSError as error:
            failure = error
            continue
        return writer
    raise failure
