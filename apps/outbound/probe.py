"""Testing a provider's connection: its list of models, which costs nothing, through the same guard as every call.

For synchronous callers: the admin and Celery. The loop gets a thread of its own, so it matters not at all whether the
caller's thread is running one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from apps.domain import errors
from apps.domain.providers.registry import vendor as vendor_of
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound

_LIMIT = 4 * 1024 * 1024
_REFUSED = frozenset({401, 403})
_NO_LIST = frozenset({404, 405, 501})


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """`status` 0: no answer. `message` is for people and never holds a secret or a word of the provider's body."""

    ok: bool
    status: int
    milliseconds: int
    message: str
    models: tuple[str, ...] = ()


class _Entry(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Entry] = []


def probe(
    *,
    vendor: str,
    protocol: str,
    base_url: str,
    secret: str,
    private_networks: Sequence[str],
    seconds: float = 10.0,
) -> ProbeResult:
    """Never raises for what the provider does. `secret` may be empty; `seconds` bounds the whole."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe") as own:
        asking = _probe(vendor, protocol, base_url, secret, private_networks, seconds)
        return own.submit(asyncio.run, asking).result()


async def _probe(
    vendor: str, protocol: str, base_url: str, secret: str, private_networks: Sequence[str], seconds: float
) -> ProbeResult:
    started = time.monotonic()
    outbound = Outbound(private_networks=private_networks)
    try:
        status, body = await _models(outbound, vendor, protocol, base_url, secret, seconds)
    except errors.UpstreamError as error:
        status, body, failure = 0, b"", error.message
    else:
        failure = ""
    finally:
        await outbound.close()
    milliseconds = round((time.monotonic() - started) * 1000)
    if failure:
        return ProbeResult(ok=False, status=0, milliseconds=milliseconds, message=failure)
    return _judge(status, body, milliseconds=milliseconds)


async def _models(
    outbound: Outbound, vendor: str, protocol: str, base_url: str, secret: str, seconds: float
) -> tuple[int, bytes]:
    kind = vendor_of(vendor)
    completions = kind.url(base_url, protocol)
    url = completions.removesuffix("/messages").removesuffix("/chat/completions") + "/models"
    headers = [("accept", "application/json"), *kind.headers(secret, client={})]
    timeouts = Timeouts(connect=min(5.0, seconds), first_byte=seconds, idle=seconds, total=seconds)
    answer = await outbound.open("GET", url, headers=headers, body=b"", timeouts=timeouts)
    try:
        return answer.status, await answer.read(_LIMIT)
    finally:
        await answer.close()


def _judge(status: int, body: bytes, *, milliseconds: int) -> ProbeResult:
    models: tuple[str, ...] = ()
    if status in _REFUSED:
        ok, message = False, "The provider refused the credential."
    elif status in _NO_LIST:
        ok, message = True, "The provider answers, but keeps no list of models here."
    elif status == 429:
        ok, message = True, "The provider answers, and limits our rate."
    elif 200 <= status < 300:
        models = _names(body)
        ok, message = True, f"The provider answers and lists {len(models)} models."
    else:
        ok, message = False, f"The provider answered with status {status}."
    return ProbeResult(ok=ok, status=status, milliseconds=milliseconds, message=message, models=models)


def _names(body: bytes) -> tuple[str, ...]:
    try:
        listing = msgspec.json.decode(body, type=_Listing)
    except msgspec.MsgspecError:
        return ()
    return tuple(entry.id for entry in listing.data if entry.id.isprintable() and len(entry.id) <= 200)
