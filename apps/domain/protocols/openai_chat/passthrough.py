"""A caller and an upstream that both speak OpenAI's chat dialect: what is spliced in, what is watched and hidden.

The upstream is always asked for usage. A caller who did not ask is spared the chunk that brings it; that other chunks
then say `"usage":null` is left as it is.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.domain import sse
from apps.domain.errors import GatewayError, UpstreamBroken, UpstreamError
from apps.domain.protocols import refusal, splice
from apps.domain.protocols.alike import TEXT, Alike, heard
from apps.domain.protocols.contract import ClientCall, Cut, Seen, Target
from apps.domain.protocols.openai_chat import answer, error, usage
from apps.domain.protocols.passthrough import Rewritten

_SPOKEN = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|refusal)"[ ]?:[ ]?"(' + TEXT + rb')"')
_INTRODUCTIONS = 2  # events that are read for who answers: the first says it, of Azure's the second


class _Choice(msgspec.Struct):
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    object: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Dialect:
    """See `protocols.passthrough.Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> Rewritten:
        members: splice.Members = call.wire.members
        changes = {"model": msgspec.json.encode(target.model)}
        if call.max_tokens is None and target.max_output_tokens:
            name = "max_completion_tokens" if "max_completion_tokens" in target.quirks else "max_tokens"
            changes[name] = b"%d" % target.max_output_tokens
        if call.stream and not call.wants_usage and "no_stream_usage" not in target.quirks:
            options = members.raw("stream_options") or b"null"
            named = options if options != b"null" else b"{}"
            changes["stream_options"] = splice.edit(named, {"include_usage": b"true"})
        return Rewritten(members.edit(changes))

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Tap:
        return Tap(seen, call, request_id=request_id, cut=cut)

    def read_usage(self, body: bytes, seen: Seen) -> None:
        try:
            read = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise UpstreamBroken("the provider's answer is not a chat completion") from fault
        if read.error:
            raise error.read_stream_error(read.error)
        if not read.choices:
            raise UpstreamBroken("the provider's answer holds no choice")
        _note(seen, read)
        if seen.usage is None:
            seen.output_bytes = spoken(body)


DIALECT = Dialect()


class Tap:
    """Reads the events that matter (the first, finish reasons, usage, errors, the end) and lets the rest pass."""

    def __init__(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> None:
        self._seen = seen
        self._hide = not call.wants_usage
        self._request_id = request_id
        self._cut = cut
        self._splitter = sse.Splitter()
        self._choices = call.choices
        self._stops = 0
        self._alike = Alike()
        self._introductions = _INTRODUCTIONS
        self._half = False  # the hidden chunk ended in CR, and its LF is still to come
        self._silence = 0  # bytes of comments before the first event

    def feed(self, chunk: bytes) -> bytes:
        if self._seen.error is not None:
            return b""
        if self._half or self._splitter.held:
            return self._feed(chunk)
        like = self._pass_alike(chunk)
        return chunk if like == len(chunk) else chunk[:like] + self._feed(chunk[like:])

    def _feed(self, chunk: bytes) -> bytes:
        passed, whole = self._splitter.feed(chunk)
        if self._half and whole:
            whole, self._half = whole.removeprefix(b"\n"), False
        if passed:
            self._seen.started = True  # it cannot be held back, so it cannot be taken back
            return passed + self._watch(whole)
        return self._watch(whole) if whole else b""

    def close(self) -> bytes:
        if self._seen.error is not None:
            return b""
        rest = self._splitter.rest()
        if self._half:
            rest = rest.removeprefix(b"\n")
        last = rest if self._splitter.passing or self._seen.finished else self._last(rest)
        if self._seen.error is not None or self._seen.finished:
            return last
        if self._stops >= self._choices and self._seen.started:
            self._seen.finished = True  # all was said, only `[DONE]` is missing: some vendors have none
            return last
        return self._cut_off(rest)

    def fail(self, failure: GatewayError) -> bytes:
        return error.stream_error(failure, request_id=self._request_id)

    def _pass_alike(self, events: bytes) -> int:
        """How many bytes at their beginning are whole events like the last, whose text is counted with that."""
        like, said = self._alike.run(events)
        self._seen.output_bytes += said
        return like

    def _watch(self, whole: bytes) -> bytes:
        if self._seen.finished:
            return whole
        if self._introductions or _matters(whole):
            return self._read(whole)
        self._measure(whole)
        return whole

    def _measure(self, whole: bytes) -> None:
        """What brings texts and nothing that matters is searched for them, which is cheaper than reading the JSON."""
        rest = whole[self._pass_alike(whole) :]
        self._seen.output_bytes += spoken(rest)
        if rest and self._alike.is_curious:
            event = sse.first(rest)
            texts = [text.span(1) for text in _SPOKEN.finditer(event) if text[1]]
            if len(texts) == 1:
                self._alike.learn(event, *texts[0])

    def _read(self, whole: bytes) -> bytes:
        """The events one by one; without the one that brings the usage, if that has to be hidden."""
        kept = []
        size = 0
        for event in sse.events(whole):
            if self._seen.finished:
                break
            if self._introductions or _matters(event):
                kept.append(self._event(event))
            else:
                self._measure(event)
                kept.append(event)
            size += len(event)
            if self._seen.error is not None:
                return b"".join(kept)
        return b"".join(kept) + whole[size:]  # it may end in more line ends than it needs

    def _event(self, event: bytes) -> bytes:
        seen = self._seen
        seen.output_bytes += spoken(event)
        name, data = sse.parse(event)
        if not data:
            return self._skip(event)
        if data.startswith(b"[DONE]"):
            seen.finished = True
            self._alike.forget()  # what comes behind the end is not counted
            return event
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if seen.started and name != "error":
                return event
            return self._refuse(UpstreamBroken("the provider sent no chunk of a completion"), event)
        _note(seen, chunk)
        try:
            fault = error.within(chunk, data, name=name)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._refuse(UpstreamBroken("the provider's error cannot be read"), event)
        if fault:
            return self._refuse(error.read_stream_error(fault), event)
        seen.started = True
        self._introductions = max(0, self._introductions - 1)
        self._stops += sum(1 for choice in chunk.choices or () if choice.finish_reason)
        if self._hide and chunk.usage and not chunk.choices:
            self._half = event.endswith(b"\r")
            return event[: len(event) - len(event.lstrip(b"\r\n"))]  # line ends of the event before
        return event

    def _skip(self, event: bytes) -> bytes:
        """A comment. Until the answer begins the gateway holds them, so there is an end to them."""
        self._silence += 0 if self._seen.started else len(event)
        if self._silence > sse.MAX_EVENT:
            return self._refuse(UpstreamBroken("the provider's answer has no beginning"), event)
        return event

    def _last(self, rest: bytes) -> bytes:
        """At the end of the file an event need not end in a blank line, if it can be read; otherwise it was cut."""
        data = sse.parse(rest)[1]
        if not data.strip():
            return rest
        try:
            whole = data.startswith(b"[DONE]") or bool(_decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            whole = False
        return self._event(rest) if whole else b""

    def _refuse(self, fault: UpstreamError, event: bytes) -> bytes:
        """The upstream's own error event is one of the dialect's: it goes on, and the end behind it."""
        self._seen.error = refusal.cleaned(fault, self._cut)
        if not self._seen.started:
            return b""
        return refusal.scrub(event, self._cut).rstrip(b"\r\n") + b"\n\n" + error.DONE

    def _cut_off(self, rest: bytes) -> bytes:
        """The stream was cut. Of an event that is not whole nothing goes out."""
        fault = UpstreamBroken("the provider's answer ended before it was complete")
        self._seen.error = fault
        if not self._seen.started:
            return b""
        end = rest + b"\n\n" if self._splitter.passing else b""
        return end + self.fail(fault)


def _matters(data: bytes) -> bool:
    """Whether there may be a finish reason, usage, an error or the end in it."""
    return (
        b"error" in data
        or b"[DONE]" in data
        or data.count(b'"finish_reason"') != data.count(b'"finish_reason":null')
        or data.count(b'"usage"') != data.count(b'"usage":null')
    )


def spoken(data: bytes) -> int:
    """Roughly the bytes of text, thinking and arguments in some JSON."""
    return sum(map(heard, _SPOKEN.findall(data)))


def _note(seen: Seen, chunk: _Chunk) -> None:
    if seen.response_id is None and isinstance(chunk.id, str) and chunk.id:
        seen.response_id = chunk.id
    if seen.model is None and isinstance(chunk.model, str) and chunk.model:
        seen.model = chunk.model
    if chunk.usage:
        seen.usage = usage.read(chunk.usage) or seen.usage
    for choice in chunk.choices or ():
        if isinstance(choice.finish_reason, str):
            seen.stop_reason = answer.STOP.get(choice.finish_reason, seen.stop_reason)
