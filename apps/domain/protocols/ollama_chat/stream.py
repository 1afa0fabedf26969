"""The answer that streams: lines to events."""

from __future__ import annotations

from apps.domain import ndjson
from apps.domain.chat import Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken, UpstreamError
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.ollama_chat import error, wire


class Decoder:
    """Every stream ends in one `Finished`, or one `Failed` and nothing more. A call comes whole, in one line."""

    def __init__(self) -> None:
        self._lines = ndjson.Decoder()
        self._events: list[Event] = []
        self._response = ""
        self._index = -1
        self._open: type[Text | Thinking] | None = None
        self._calls = 0
        self._ended = False

    def feed(self, chunk: bytes) -> list[Event]:
        if self._ended:
            return []
        try:
            self._read(self._lines.feed(chunk))
        except UpstreamError as fault:
            self._fail(fault)
        return self._take()

    def close(self) -> list[Event]:
        if self._ended:
            return []
        try:
            self._read(self._lines.close())
            if not self._ended:
                raise UpstreamBroken("the provider's answer ended before it was complete")
        except UpstreamError as fault:
            self._fail(fault)
        return self._take()

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _fail(self, fault: UpstreamError) -> None:
        self._ended = True
        self._events.append(Failed(fault))

    def _read(self, lines: list[bytes]) -> None:
        for raw in lines:
            line = wire.read(raw)
            if line.error:
                raise error.read_stream_error(line.error)
            self._line(line)
            if self._ended:
                return

    def _line(self, line: wire.Line) -> None:
        if not self._response:
            self._response = wire.response_id(line)
            self._events.append(Started(self._response, line.model or ""))
        if (message := line.message) is not None:
            if message.thinking:
                self._begin(Thinking)
                self._events.append(ThinkingDelta(self._index, message.thinking))
            if message.content:
                self._begin(Text)
                self._events.append(TextDelta(self._index, message.content))
            for call in message.tool_calls or ():
                self._call(call)
        if line.done:
            self._end()
            reason = wire.stop_reason(line.done_reason, called=self._calls > 0, said=self._index >= 0)
            self._ended = True
            self._events.append(Finished(reason, usage=wire.usage(line)))

    def _begin(self, kind: type[Text | Thinking]) -> None:
        if self._open is kind:
            return
        self._end()
        self._index += 1
        self._open = kind
        self._events.append(BlockStarted(self._index, kind("")))

    def _end(self) -> None:
        if self._open is not None:
            self._events.append(BlockStopped(self._index))
            self._open = None

    def _call(self, call: wire.Call) -> None:
        function = call.function
        if function is None or not function.name:
            return
        if self._calls >= wire.MAX_CALLS:
            raise UpstreamBroken("the provider made too many tool calls in one answer")
        written = wire.arguments(function)
        self._end()
        self._index += 1
        block = ToolUse(wire.call_id(call, response=self._response, number=self._calls), function.name, "")
        self._calls += 1
        self._events += [
            BlockStarted(self._index, block),
            ArgumentsDelta(self._index, written),
            BlockStopped(self._index),
        ]
