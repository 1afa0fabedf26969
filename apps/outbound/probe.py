"""Asking a provider for its list of models, which costs nothing, through the same guard as every call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from apps.domain import errors
from apps.outbound import asking, listing
from apps.outbound.asking import Asked
from apps.outbound.client import Outbound
from apps.outbound.listing import Listed

_LIMIT = 4 * 1024 * 1024
_REFUSED = frozenset({401, 403})
_NO_LIST = frozenset({404, 405, 501})


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """`status` 0: no answer. `message` is for people and never holds a secret or a word of the provider's body; `words`
    are the provider's own of a failure, without the secret."""

    ok: bool
    status: int
    milliseconds: int
    message: str
    words: str = ""
    listed: tuple[Listed, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.listed)


def probe(
    *,
    vendor: str,
    protocol: str,
    base_url: str,
    secret: str,
    private_networks: Sequence[str],
    options: Mapping[str, str] | None = None,
    seconds: float = 10.0,
) -> ProbeResult:
    """Never raises for what the provider does. `secret` may be empty; `seconds` bounds the whole."""
    asked = asking.asked(
        vendor=vendor,
        protocol=protocol,
        base_url=base_url,
        secret=secret,
        private_networks=private_networks,
        options=options,
    )
    return asking.run(_probe(asked, seconds))


async def _probe(asked: Asked, seconds: float) -> ProbeResult:
    started = time.monotonic()
    url = asked.vendor.list_url(asked.base_url, asked.protocol, options=asked.options)
    outbound = Outbound(private_networks=asked.private_networks)
    try:
        status, body = await _listed(outbound, asked, url or asked.base_url, seconds)
    except errors.UpstreamError as error:
        status, body, failure = 0, b"", error.message
    else:
        failure = ""
    finally:
        await outbound.close()
    milliseconds = round((time.monotonic() - started) * 1000)
    if failure:
        return ProbeResult(ok=False, status=0, milliseconds=milliseconds, message=failure)
    ok, message = _judged(status, has_list=url is not None)
    listed = listing.read(asked.cut(body)) if ok and url is not None and 200 <= status < 300 else ()
    if ok and not message:
        ok, message = _read(body, count=len(listed))
    words = "" if ok else asked.words(body)
    return ProbeResult(ok=ok, status=status, milliseconds=milliseconds, message=message, words=words, listed=listed)


async def _listed(outbound: Outbound, asked: Asked, url: str, seconds: float) -> tuple[int, bytes]:
    """The list of what can be called, where that is answered; else the one at `url`."""
    started = time.monotonic()
    if (deployed := asked.vendor.deployed_at(asked.base_url)) is not None:
        status, body = await _ask(outbound, asked, deployed, seconds)
        if status == 200:
            return status, body
    return await _ask(outbound, asked, url, max(1.0, seconds - (time.monotonic() - started)))


async def _ask(outbound: Outbound, asked: Asked, url: str, seconds: float) -> tuple[int, bytes]:
    headers = await asked.signed("GET", url, headers=asked.headers(("accept", "application/json")), body=b"")
    answer = await outbound.open("GET", url, headers=headers, body=b"", timeouts=asking.patience(seconds))
    try:
        return answer.status, await answer.read(_LIMIT)
    finally:
        await answer.close()


def _read(body: bytes, *, count: int) -> tuple[bool, str]:
    """Under status 200, a page for people or half an answer is somebody else's, or no answer: it is not up."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        is_json = body.lstrip()[:1] in (b"{", b"[")
    except (msgspec.MsgspecError, RecursionError):
        is_json = False
    if not is_json:
        return False, "What the provider answered is not a list of models."
    return True, f"The provider answers and lists {count} models."


def _judged(status: int, *, has_list: bool) -> tuple[bool, str]:
    """A provider that keeps no list has no place where one may ask for nothing: that it answers at all must do."""
    if not has_list and status < 500:
        return True, "The provider answers. It has no list of models."
    if status in _REFUSED:
        return False, "The provider refused the credential."
    if status in _NO_LIST:
        return True, "The provider answers, but keeps no list of models here."
    if status == 429:
        return True, "The provider answers, and limits our rate."
    if 200 <= status < 300:
        return True, ""
    return False, f"The provider answered with status {status}."
