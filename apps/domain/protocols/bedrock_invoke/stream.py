"""Bedrock's stream of Claude: every message wraps one of Anthropic's events."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from apps.domain import errors, events, eventstream, sse
from apps.domain.protocols import bedrock_errors, splice
from apps.domain.protocols.anthropic_messages import stream

_METRICS = "amazon-bedrock-invocationMetrics"  # counts other tokens than the answer's usage, which is billed
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# What stands before the data, of the events that there are.
_LEADS = {
    name: b"event: %b\ndata: " % name.encode()
    for name in (
        *("message_start", "message_delta", "message_stop", "ping", "error"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
    )
}


class _Part(msgspec.Struct):
    data: bytes = msgspec.field(name="bytes")  # base64 on the wire


class _Typed(msgspec.Struct):
    type: str


_part = msgspec.json.Decoder(_Part)
_typed = msgspec.json.Decoder(_Typed)


class Events:
    """The events as Anthropic would have sent them."""

    def __init__(self) -> None:
        self._messages = eventstream.Decoder()
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[sse.Frame]:
        """Raises an UpstreamError behind the last sound one: for an exception, and for what cannot be read."""
        for message in self._messages.feed(chunk):
            if self._ended:
                return
            if message.kind != "event":
                raise bedrock_errors.read_exception(message)
            if message.name == "chunk":
                yield self._unwrapped(message.payload)

    def _unwrapped(self, payload: bytes) -> sse.Frame:
        try:
            data = _part.decode(payload).data
            name = _typed.decode(data).type
            if name == "message_stop":
                self._ended = True
                data = splice.edit(data, {}, without=(_METRICS,))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, errors.InvalidRequest) as fault:
            raise errors.UpstreamBroken("the provider's answer is garbled") from fault
        if name not in _LEADS and not _NAME.fullmatch(name):
            raise errors.UpstreamBroken("the provider's answer is garbled")
        return sse.Frame(name, data)


def written(event: sse.Frame) -> bytes:
    """On the wire, as Anthropic's own."""
    lead, data = _LEADS.get(event.event), event.data
    if lead is None or b"\n" in data or b"\r" in data:
        return sse.frame(event.event, data.replace(b"\r", b" "))
    return b"%b%b\n\n" % (lead, data)


class Decoder:
    """A `StreamDecoder`. After `Finished` or `Failed` nothing more comes."""

    def __init__(self) -> None:
        self._events = Events()
        self._inner = stream.Decoder()
        self._ended = False

    def feed(self, chunk: bytes) -> list[events.Event]:
        happened: list[events.Event] = []
        if self._ended:
            return happened
        try:
            for event in self._events.feed(chunk):
                happened += self._inner.read(event)
                if happened and isinstance(happened[-1], events.Finished | events.Failed):
                    self._ended = True
                    break
        except errors.UpstreamError as failure:
            self._ended = True
            happened.append(events.Failed(failure))
        return happened

    def close(self) -> list[events.Event]:
        return [] if self._ended else self._inner.close()
