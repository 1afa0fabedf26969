"""Responses to Responses: what is spliced into the request, and what is watched in the answer.

`store` goes on as the caller wrote it, and is the provider's affair: nothing can be fetched through here, and what
refers to something stored is refused, whoever is asked.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.domain import errors, signatures, sse
from apps.domain.chat import StopReason, size
from apps.domain.protocols import passthrough, refusal, splice
from apps.domain.protocols.alike import TEXT
from apps.domain.protocols.contract import ClientCall, Cut, Seen, Target
from apps.domain.protocols.openai_responses import error, names, response, usage

_OURS = b'"' + names.OURS.encode()
# What a delta brings. Never crosses a line end, so that it finds the same however the lines come.
_DELTA = re.compile(rb'"delta"[ ]?:[ ]?"(' + TEXT + rb')"')
_NUMBER = re.compile(rb'"sequence_number"[ ]?:[ ]?(\d{1,9})')
_FAILURES = ("response.failed", "response.cancelled")


class _Watched(msgspec.Struct):
    """What is read of the few events that are read."""

    type: str = ""
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None


class _Item(msgspec.Struct):
    type: str = ""
    encrypted_content: Any = None


_watched = msgspec.json.Decoder(_Watched)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_items = msgspec.json.Decoder(_Item)


class Dialect:
    """See `protocols.passthrough.Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> passthrough.Rewritten:
        members: splice.Members = call.wire.members
        changes = {"model": msgspec.json.encode(target.model)}
        if call.max_tokens is None and target.max_output_tokens:
            changes["max_output_tokens"] = b"%d" % target.max_output_tokens
        if (_OURS in call.body or target.foreign) and (
            kept := _without_foreign(members.raw("input") or b"", target.foreign)
        ) is not None:
            changes["input"] = kept
        return passthrough.Rewritten(members.edit(changes))

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Tap:
        return Tap(seen, request_id=request_id, cut=cut)

    def read_usage(self, body: bytes, seen: Seen) -> None:
        read = response.decode(body)
        seen.response_id, seen.model = read.id, read.model
        _count(seen, read)
        if seen.usage is None:
            output = read.output or ()
            sealed = sum(len(item.encrypted_content or "") for item in output)  # about as long as what was thought
            seen.output_bytes = size(block for item in output for block in response.blocks_of(item)) + sealed


class Tap:
    """Watches a stream for its beginning and its end. Deltas in between are only measured."""

    def __init__(self, seen: Seen, *, request_id: str, cut: Cut) -> None:
        self._seen = seen
        self._request_id = request_id
        self._cut = cut
        self._splitter = sse.Splitter()
        self._held = bytearray()
        self._last = b""  # events that went out last: their numbers go on

    def feed(self, chunk: bytes) -> bytes:
        seen = self._seen
        if seen.error is not None:
            return b""
        passed, whole = self._splitter.feed(chunk)
        if not seen.started:
            return self._begin(passed + whole)
        if not seen.finished and _matters(whole):
            whole = self._examine(whole)
        self._measure(whole)
        if seen.on_signed is not None and signatures.may_seal(whole):
            seen.on_signed(signatures.marks(whole))
        return passed + whole if passed else whole

    def close(self) -> bytes:
        seen = self._seen
        if seen.error is not None:
            return b""
        rest = self._splitter.rest()
        if seen.finished:
            return rest
        if seen.started and not self._splitter.passing and rest.strip():
            self._read(rest)
            if seen.finished:  # the last event lacks only its blank line
                return rest.rstrip() + b"\n\n"
        seen.error = seen.error or errors.UpstreamBroken("the provider's answer ended before it was complete")
        if not seen.started:
            return b""
        cut = rest + b"\n\n" if self._splitter.passing else b""
        return cut + self.fail(seen.error)

    def fail(self, failure: errors.GatewayError) -> bytes:
        numbers = _NUMBER.findall(self._last)
        number = int(numbers[-1]) + 1 if numbers else 0
        return error.stream_error(
            failure, request_id=self._request_id, response_id=self._seen.response_id, number=number
        )

    def _begin(self, whole: bytes) -> bytes:
        """Holds what comes until the first event is in: till then another deployment may be tried."""
        seen = self._seen
        whole = self._examine(whole)
        self._held += whole
        if not seen.started:
            if len(self._held) > sse.MAX_EVENT:
                self._refuse("has no beginning")
            return b""
        held = bytes(self._held)
        self._held.clear()
        self._measure(held)
        if seen.on_signed is not None and signatures.may_seal(held):
            seen.on_signed(signatures.marks(held))
        return held

    def _measure(self, whole: bytes) -> None:
        if b"sequence_number" in whole and _NUMBER.search(whole):
            self._last = whole
        for text in _DELTA.findall(whole):
            self._seen.output_bytes += len(text)

    def _examine(self, whole: bytes) -> bytes:
        """Reads those events that may matter; nothing goes on behind an error."""
        seen = self._seen
        length = 0
        for event in sse.events(whole):
            length += len(event)
            if not seen.started or _matters(event):
                self._read(event)
            if seen.error is not None:
                if not seen.started:
                    return b""
                return whole[: length - len(event)] + refusal.scrub(event, self._cut).rstrip(b"\r\n") + b"\n\n"
            if seen.finished:
                break
        return whole

    def _read(self, event: bytes) -> None:
        name, data = sse.parse(event)
        if not data.strip():
            return
        try:
            watched = _watched.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._refuse("is garbled", even_now=name == "error")
            return
        self._note(watched.type or name, watched)

    def _note(self, kind: str, watched: _Watched) -> None:
        seen = self._seen
        if kind == "error" or (watched.error and not watched.type):
            raw = watched.error or {"code": watched.code, "message": watched.message}
            seen.error = refusal.cleaned(error.read_stream_error(raw), self._cut)
            return
        if not kind.startswith("response."):
            return
        told = _response(watched.response)
        if kind in _FAILURES:
            seen.usage = usage.read(told.usage) or seen.usage
            fault = error.read_stream_error(told.error) if told.error else errors.UpstreamBroken("the provider gave up")
            seen.error = refusal.cleaned(fault, self._cut)
            return
        if not seen.started:
            seen.started = True
            seen.response_id, seen.model = told.id, told.model
        if kind in ("response.completed", "response.incomplete"):
            seen.finished = True
            _count(seen, told)

    def _refuse(self, how: str, *, even_now: bool = False) -> None:
        """Only before the beginning: later, garbage is the caller's to see as the provider sent it."""
        if even_now or not self._seen.started:
            self._seen.error = errors.UpstreamBroken(f"the provider's answer {how}")


def _matters(data: bytes) -> bool:
    """Whether the end, or an error, may be in it."""
    return (
        b"error" in data
        or b"response.completed" in data
        or b"response.incomplete" in data
        or b"response.failed" in data
        or b"response.cancelled" in data
    )


def _response(raw: Any) -> response.Response:
    try:
        return msgspec.convert(raw, response.Response)
    except msgspec.ValidationError:
        return response.Response()


def _count(seen: Seen, told: response.Response) -> None:
    seen.usage = usage.read(told.usage) or seen.usage
    called = any(item.type in ("function_call", "custom_tool_call") for item in told.output or ())
    refused = any(part.refusal for item in told.output or () for part in item.content or ())
    reason: StopReason = response.stop_reason(told, called=called, cut=False, refused=refused)
    seen.stop_reason = reason


def _without_foreign(raw: bytes, foreign: frozenset[bytes]) -> bytes | None:
    """The input without what other vendors have thought: OpenAI refuses what it did not encrypt itself."""
    if not raw.startswith(b"["):
        return None
    written = _raws.decode(raw)
    kept = [item for item in written if not _is_foreign(item, foreign)]
    return None if len(kept) == len(written) else b"[" + b",".join(map(bytes, kept)) + b"]"


def _is_foreign(raw: msgspec.Raw, foreign: frozenset[bytes]) -> bool:
    if b"reasoning" not in bytes(raw):
        return False
    item = _items.decode(raw)
    if item.type != "reasoning" or not isinstance(item.encrypted_content, str):
        return False
    return item.encrypted_content.startswith(names.OURS) or signatures.mark(item.encrypted_content) in foreign


DIALECT: passthrough.Dialect = Dialect()
