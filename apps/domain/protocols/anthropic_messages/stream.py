"""Upstream bytes to events. A state machine that owns the open block, whatever the upstream's own grammar is like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from apps.domain import chat, errors, events, sse
from apps.domain.protocols.anthropic_messages import blocks, error, names, stops, usage, wire


class _Start(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: Any = None


class _Stop(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None


class _Data(msgspec.Struct):
    """Any event's data; which fields it has is its type's business."""

    type: str = ""
    index: Any = 0
    message: _Start | None = None
    content_block: wire.Object | None = None
    delta: msgspec.Raw = msgspec.Raw(b"null")
    usage: Any = None
    error: Any = None


class _Typed(msgspec.Struct):
    type: str = ""


_data_decoder = msgspec.json.Decoder(_Data)
_type_decoder = msgspec.json.Decoder(_Typed)
_delta_decoder = msgspec.json.Decoder(_Delta)
_stop_decoder = msgspec.json.Decoder(_Stop | None)
_EMPTY: dict[str, wire.Object] = {"text": {"text": ""}, "thinking": {"thinking": ""}, "tool_use": {"input": {}}}
_KNOWN = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop", "ping", "error"),
)
_KIND = {"text_delta": chat.Text, "thinking_delta": chat.Thinking, "input_json_delta": chat.ToolUse}


class _Open(msgspec.Struct):
    """The block being received, under the index we gave it."""

    index: int
    block: chat.Block
    theirs: Any
    signature: str = ""
    unwraps: bool = False  # the tool that stands for a format, told as text


class Decoder:
    """A `StreamDecoder`. After `Finished` or `Failed` nothing more comes."""

    def __init__(self) -> None:
        self._frames = sse.Decoder()
        self._open: _Open | None = None
        self._started = False
        self._ended = False
        self._blocks = 0
        self._calls = False
        self._totals = usage.Totals()
        self._stop = _Stop()

    def feed(self, chunk: bytes) -> list[events.Event]:
        if self._ended:
            return []
        try:
            frames = self._frames.feed(chunk)
        except errors.UpstreamBroken as broken:
            return [self._failed(broken)]
        happened: list[events.Event] = []
        for frame in frames:
            happened += self.read(frame)
            if self._ended:
                break
        return happened

    def close(self) -> list[events.Event]:
        if self._ended:
            return []
        happened = self.feed(b"\n\n")  # the last event may lack only its blank line
        return happened if self._ended else [*happened, self._broken("ended before it was complete")]

    def _failed(self, failure: errors.GatewayError) -> events.Failed:
        self._ended = True
        return events.Failed(failure)

    def _broken(self, how: str) -> events.Failed:
        return self._failed(errors.UpstreamBroken(f"the provider's answer {how}"))

    def read(self, frame: sse.Frame) -> Iterator[events.Event]:
        """For whoever has the frame, out of another wrapping than `feed` takes off; not after the end."""
        try:
            data = _data_decoder.decode(frame.data)
            yield from self._step(data.type or frame.event, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, errors.InvalidRequest):
            if not (self._started and _is_new(frame)):
                yield self._broken("is garbled")

    def _step(self, type_: str, data: _Data) -> Iterator[events.Event]:
        if type_ == "error":
            yield self._failed(error.read_stream_error({"error": data.error}))
        elif type_ == "message_start":
            yield from self._start(data.message or _Start())
        elif not self._started:
            if type_ != "ping":
                yield self._broken("has no beginning")
        elif type_ == "content_block_delta":
            yield from self._delta(data.index, _delta_decoder.decode(data.delta))
        elif type_ == "content_block_start":
            yield from self._block(data.index, data.content_block or {})
        elif type_ == "content_block_stop":
            yield from self._close_block()
        elif type_ == "message_delta":
            self._totals.update(data.usage)
            self._stop = _stop_decoder.decode(data.delta) or self._stop
        elif type_ == "message_stop":
            yield from self._finish()
        elif type_ == "ping":
            yield events.Ping()

    def _start(self, message: _Start) -> Iterator[events.Event]:
        """A second one is a new attempt of the provider's own: welcome only while nothing of the first is out."""
        if self._blocks:
            yield self._broken("began twice")
            return
        self._totals.update(message.usage)
        if not self._started:
            self._started = True
            yield events.Started(message.id or "", message.model or "", self._totals.usage)

    def _block(self, theirs: Any, raw: wire.Object) -> Iterator[events.Event]:
        block = blocks.read_content([_complete(raw)], at="content_block")[0]
        yield from self._close_block()
        match block:
            case chat.ToolUse(name=names.FORMAT_TOOL):
                yield self._opened(chat.Text(""), theirs=theirs, unwraps=True)
            case chat.ToolUse(id=id_, name=name, arguments=arguments):
                self._calls = True
                yield self._opened(chat.ToolUse(id_, name, ""), theirs=theirs)
                if blocks.is_object(arguments) and arguments not in ("", "{}"):
                    yield events.ArgumentsDelta(self._blocks - 1, arguments)
            case chat.Text(text=text):
                yield self._opened(chat.Text(""), theirs=theirs)
                if text:
                    yield events.TextDelta(self._blocks - 1, text)
            case chat.Thinking(text=text, signature=signature):
                yield self._opened(chat.Thinking(""), theirs=theirs, signature=signature)
                if text:
                    yield events.ThinkingDelta(self._blocks - 1, text)
            case _:
                yield self._opened(block, theirs=theirs)

    def _opened(self, block: chat.Block, *, theirs: Any, signature: str = "", unwraps: bool = False) -> events.Event:
        self._open = _Open(self._blocks, block, theirs, signature, unwraps)
        self._blocks += 1
        return events.BlockStarted(self._open.index, block)

    def _close_block(self) -> Iterator[events.Event]:
        if self._open is None:
            return
        if self._open.signature:
            yield events.SignatureDelta(self._open.index, self._open.signature)
        yield events.BlockStopped(self._open.index)
        self._open = None

    def _delta(self, theirs: Any, delta: _Delta) -> Iterator[events.Event]:
        """Text or thinking inside a block of another kind begins a block of its own, and loses nothing."""
        kind = _KIND.get(delta.type)
        if self._open is not None and delta.type == "signature_delta":
            self._open.signature = delta.signature or ""
            return
        if kind is None or (self._open is not None and isinstance(self._open.block, chat.Opaque)):
            return
        unwraps = self._open is not None and self._open.unwraps
        if kind is chat.ToolUse and unwraps:
            kind, delta = chat.Text, _Delta(text=delta.partial_json)
        if self._open is None or self._open.theirs != theirs or not isinstance(self._open.block, kind):
            if kind is chat.ToolUse:
                yield self._broken("has arguments outside a tool call")
                return
            yield from self._close_block()
            yield self._opened(kind(""), theirs=theirs)
        yield from self._told(kind, delta)

    def _told(self, kind: type, delta: _Delta) -> Iterator[events.Event]:
        index = self._blocks - 1
        if kind is chat.ToolUse and delta.partial_json:
            yield events.ArgumentsDelta(index, delta.partial_json)
        elif kind is chat.Thinking and delta.thinking:
            yield events.ThinkingDelta(index, delta.thinking)
        elif kind is chat.Text and delta.text:
            yield events.TextDelta(index, delta.text)

    def _finish(self) -> Iterator[events.Event]:
        yield from self._close_block()
        if not self._blocks and self._stop.stop_reason is None:
            yield self._broken("is empty")
            return
        self._ended = True
        reason = stops.read(self._stop.stop_reason, calls=self._calls)
        yield events.Finished(reason, self._stop.stop_sequence, self._totals.usage)


def _complete(raw: wire.Object) -> wire.Object:
    """Lesser vendors leave out what is empty at the start of a block."""
    return _EMPTY.get(str(raw.get("type")), {}) | raw


def _is_new(frame: sse.Frame) -> bool:
    """Of a kind that nobody knew when this was written. Its fields are not ours to judge."""
    try:
        type_ = _type_decoder.decode(frame.data).type or frame.event
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return type_ != "" and type_ not in _KNOWN
