"""ConverseStream to events (PROTOCOLS A10).

Text and reasoning have no start of their own: their first delta opens them. Indices may have gaps. The totals come
behind `messageStop`, or before it, or not at all, so the end waits for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from apps.domain import chat, errors, events, eventstream
from apps.domain.protocols import bedrock_errors, bedrock_tiers
from apps.domain.protocols.anthropic_messages.names import FORMAT_TOOL
from apps.domain.protocols.bedrock_converse import response, stops, usage
from apps.domain.tokens import TokenUsage


class _Call(msgspec.Struct):
    name: str = ""
    toolUseId: str = ""
    input: str = ""


class _Start(msgspec.Struct):
    toolUse: _Call | None = None


class _Reasoning(msgspec.Struct):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    toolUse: _Call | None = None
    reasoningContent: _Reasoning | None = None


class _Data(msgspec.Struct):
    """Any event's payload; which fields it has is its name's business."""

    contentBlockIndex: Any = 0
    start: _Start | None = None
    delta: _Delta | None = None
    stopReason: str = ""
    usage: Any = None
    additionalModelResponseFields: Any = None
    serviceTier: Any = None


class _Open(msgspec.Struct):
    """The block being received, under the index we gave it. A redacted one comes whole, so it is held to its end."""

    index: int
    kind: type
    theirs: Any
    signature: str = ""
    redacted: str = ""


_KNOWN = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")
MAX_HELD = 4 << 20  # characters of signatures and of sealed thinking in one answer
_decoder = msgspec.json.Decoder(_Data)


class Decoder:
    """A `StreamDecoder`. After `Finished` or `Failed` nothing more comes."""

    def __init__(self) -> None:
        self._messages = eventstream.Decoder()
        self._open: _Open | None = None
        self._blocks = 0
        self._started = self._ended = self._calls = False
        self._held = 0
        self._usage: TokenUsage | None = None
        self._stop: str | None = None
        self._fields: Any = None  # the model's own, which came with the stop
        self._tier: str | None = None

    def feed(self, chunk: bytes) -> list[events.Event]:
        happened: list[events.Event] = []
        if self._ended:
            return happened
        try:
            for message in self._messages.feed(chunk):
                happened += self._read(message)
                if self._ended:
                    break
        except errors.UpstreamError as failure:
            happened.append(self._failed(failure))
        return happened

    def close(self) -> list[events.Event]:
        if self._ended:
            return []
        if self._stop is None or not self._messages.is_between:
            return [self._failed(_broken("ended before it was complete"))]
        try:
            return list(self._finish(self._stop))
        except errors.UpstreamError as failure:
            return [self._failed(failure)]

    def _failed(self, failure: errors.GatewayError) -> events.Failed:
        self._ended = True
        return events.Failed(failure, self._usage)

    def _read(self, message: eventstream.Message) -> list[events.Event]:
        if message.kind != "event":
            raise bedrock_errors.read_exception(message)
        if message.name not in _KNOWN:
            return []
        try:
            data = _decoder.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
            raise _broken("is garbled") from garbled
        return list(self._step(message.name, data))

    def _step(self, name: str, data: _Data) -> Iterator[events.Event]:
        if name == "messageStart":
            if not self._started:
                self._started = True
                yield events.Started("", "")
        elif name == "metadata":
            self._usage = usage.read(data.usage) or self._usage
            self._tier = bedrock_tiers.served(data.serviceTier)
            if self._stop is not None:
                yield from self._finish(self._stop)
        elif not self._started:
            raise _broken("has no beginning")
        elif name == "contentBlockDelta" and data.delta is not None:
            yield from self._delta(data.contentBlockIndex, data.delta)
        elif name == "contentBlockStart" and data.start is not None and data.start.toolUse is not None:
            yield from self._start_call(data.contentBlockIndex, data.start.toolUse)
        elif name == "contentBlockStop":
            yield from self._close_block()
        elif name == "messageStop":
            yield from self._close_block()
            self._stop = data.stopReason
            self._fields = data.additionalModelResponseFields
            if self._usage is not None:
                yield from self._finish(self._stop)

    def _start_call(self, theirs: Any, call: _Call) -> Iterator[events.Event]:
        """A call of the tool that stands for a format is text."""
        yield from self._close_block()
        if call.name == FORMAT_TOOL:
            yield self._opened(chat.Text(""), theirs=theirs)
            return
        self._calls = True
        yield self._opened(chat.ToolUse(call.toolUseId, call.name, ""), theirs=theirs)

    def _delta(self, theirs: Any, delta: _Delta) -> Iterator[events.Event]:
        if delta.text:
            yield from self._open_for(chat.Text(""), theirs=theirs)
            yield events.TextDelta(self._blocks - 1, delta.text)
        elif delta.toolUse is not None:
            yield from self._arguments(theirs, delta.toolUse.input)
        elif delta.reasoningContent is not None:
            yield from self._reasoning(theirs, delta.reasoningContent)

    def _arguments(self, theirs: Any, json: str) -> Iterator[events.Event]:
        is_open = self._open is not None and self._open.theirs == theirs
        if is_open and self._is(chat.Text):
            yield events.TextDelta(self._blocks - 1, json)
        elif not is_open or not self._is(chat.ToolUse):
            raise _broken("has arguments outside a tool call")
        elif json:
            yield events.ArgumentsDelta(self._blocks - 1, json)

    def _reasoning(self, theirs: Any, said: _Reasoning) -> Iterator[events.Event]:
        """Thinking may be a signature alone."""
        if said.redactedContent is not None:
            if not self._is(chat.RedactedThinking) or self._open is None or self._open.theirs != theirs:
                yield from self._close_block()
                self._open = _Open(self._blocks, chat.RedactedThinking, theirs)
            self._open.redacted += self._sealed(response.unredacted(said.redactedContent))
        elif said.text or said.signature:
            yield from self._open_for(chat.Thinking(""), theirs=theirs)
            if said.text:
                yield events.ThinkingDelta(self._blocks - 1, said.text)
            if said.signature and self._open is not None:
                self._open.signature += self._sealed(said.signature)

    def _sealed(self, piece: str) -> str:
        """What has to be held until its block ends."""
        self._held += len(piece)
        if self._held > MAX_HELD:
            raise _broken("holds more signatures than can be kept")
        return piece

    def _is(self, kind: type) -> bool:
        return self._open is not None and self._open.kind is kind

    def _open_for(self, block: chat.Block, *, theirs: Any) -> Iterator[events.Event]:
        if self._open is None or self._open.theirs != theirs or not self._is(type(block)):
            yield from self._close_block()
            yield self._opened(block, theirs=theirs)

    def _opened(self, block: chat.Block, *, theirs: Any) -> events.Event:
        self._open = _Open(self._blocks, type(block), theirs)
        self._blocks += 1
        return events.BlockStarted(self._open.index, block)

    def _close_block(self) -> Iterator[events.Event]:
        block, self._open = self._open, None
        if block is None:
            return
        if block.kind is chat.RedactedThinking:
            self._blocks += 1
            yield events.BlockStarted(block.index, chat.RedactedThinking(block.redacted))
        if block.signature:
            yield events.SignatureDelta(block.index, block.signature)
        yield events.BlockStopped(block.index)

    def _finish(self, label: str) -> Iterator[events.Event]:
        yield from self._close_block()
        reason = stops.read(label, calls=self._calls, said=self._blocks > 0)
        self._ended = True
        yield events.Finished(reason, stops.met(reason, self._fields), self._usage, self._tier)


def _broken(how: str) -> errors.UpstreamBroken:
    return errors.UpstreamBroken(f"the provider's answer {how}")
