"""An upstream's stream to events, whatever it is like: unknown events are skipped, missing ones made up for."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import sse
from apps.domain.chat import Block, Likely, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken, UpstreamError
from apps.domain.events import Event, Failed, Finished, Started
from apps.domain.protocols.openai_chat.answer import read_likely, tier, weigh
from apps.domain.protocols.openai_responses import blocks, error, names, response, usage

_OPENS: dict[str, Block] = {"message": Text(""), "reasoning": Thinking("")}
_WORDS = ("response.output_text.delta", "response.refusal.delta")
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done")
_FAILURES = ("response.failed", "response.cancelled")
_ITEMS = ("response.output_item.added", "response.output_item.done")
_KNOWN = {
    *("response.created", "response.in_progress", *_ITEMS, *_WORDS, *_THOUGHTS, *_ENDS),
    *("response.function_call_arguments.delta", "response.reasoning_summary_part.added", "error"),
}


class _Data(msgspec.Struct):
    """Any event's data; which fields it has is its type's business."""

    type: str = ""
    output_index: int = 0
    summary_index: int = 0
    delta: Any = None
    logprobs: Any = None
    arguments: Any = None
    item: response.Item | None = None
    response: response.Response | None = None
    error: Any = None
    code: Any = None
    message: Any = None


class _Typed(msgspec.Struct):
    type: str = ""


_decode = msgspec.json.Decoder(_Data).decode
_decode_type = msgspec.json.Decoder(_Typed).decode


class Decoder:
    """A `StreamDecoder`. Every stream ends in one `Finished`, or one `Failed` and nothing more."""

    def __init__(self) -> None:
        self._frames = sse.Decoder()
        self._blocks = blocks.Blocks()
        self._started = False
        self._ended = False
        self._refused = False
        self._likely: tuple[Likely, ...] = ()  # of text that is not out yet

    def feed(self, chunk: bytes) -> list[Event]:
        if self._ended:
            return []
        try:
            for frame in self._frames.feed(chunk):
                self._read(frame)
                if self._ended:
                    break
        except UpstreamError as fault:
            self._fail(fault)
        return self._take()

    def close(self) -> list[Event]:
        if self._ended:
            return []
        happened = self.feed(b"\n\n")  # the last event may lack only its blank line
        if not self._ended:
            self._fail(UpstreamBroken("the provider's answer ended before it was complete"))
        return happened + self._take()

    def _take(self) -> list[Event]:
        events, self._blocks.events = self._blocks.events, []
        return events

    def _fail(self, fault: UpstreamError, *, counted: Any = None) -> None:
        self._ended = True
        self._blocks.events.append(Failed(fault, usage=usage.read(counted)))

    def _read(self, frame: sse.Frame) -> None:
        if frame.data.startswith(b"[DONE]") or not frame.data.strip():
            return
        try:
            data = _decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
            if self._started and _is_new(frame):
                return
            raise UpstreamBroken("the provider sent an event that cannot be read") from garbled
        kind = data.type or frame.event
        if kind == "error" or (data.error and not data.type):
            raise error.read_stream_error(data.error or {"code": data.code, "message": data.message})
        if not kind.startswith("response."):
            return
        if not self._started:
            self._start(data.response or response.Response())
        if kind in _ENDS:
            self._finish(kind, data.response or response.Response())
        else:
            self._step(kind, data)

    def _start(self, begun: response.Response) -> None:
        self._started = True
        self._blocks.events.append(Started(begun.id or "", begun.model or ""))

    def _step(self, kind: str, data: _Data) -> None:
        delta = data.delta if isinstance(data.delta, str) else ""
        if kind in _WORDS:
            self._refused = self._refused or kind == "response.refusal.delta"
            self._blocks.say(self._line(data, "message"), delta)
            if data.logprobs or self._likely:
                self._weigh(read_likely(data.logprobs))
        elif kind == "response.function_call_arguments.delta":
            self._blocks.say(self._call(data), delta)
        elif kind in _THOUGHTS:
            self._think(self._line(data, "reasoning"), kind, delta)
        elif kind == "response.reasoning_summary_part.added":
            line = self._line(data, "reasoning")
            if line.has_said and data.summary_index:
                self._blocks.say(line, "\n\n")
        elif kind == "response.output_item.added" and data.item is not None:
            self._add(data.output_index, data.item)
        elif kind == "response.output_item.done" and data.item is not None:
            self._end(data.output_index, data.item)

    def _weigh(self, likely: tuple[Likely, ...]) -> None:
        self._likely = weigh(self._blocks.events, self._likely + likely)

    def _think(self, line: blocks.Line, kind: str, delta: str) -> None:
        """One source an item: the thought itself, or its summary."""
        line.source = line.source or kind
        if line.source == kind:
            self._blocks.say(line, delta)

    def _line(self, data: _Data, kind: str) -> blocks.Line:
        """The item that a delta belongs to, even if nobody has announced it."""
        line = self._blocks.lines.get(data.output_index)
        if line is None:
            line = self._blocks.add(data.output_index, _OPENS[kind])
        if type(line.block) is not type(_OPENS[kind]):
            raise UpstreamBroken("the provider's answer has text in an item of another kind")
        return line

    def _call(self, data: _Data) -> blocks.Line:
        line = self._blocks.lines.get(data.output_index)
        if line is None or not isinstance(line.block, ToolUse):
            raise UpstreamBroken("the provider's answer has arguments outside a tool call")
        return line

    def _add(self, place: int, item: response.Item) -> blocks.Line | None:
        """None for an item of the provider's own tools."""
        if (line := self._blocks.lines.get(place)) is not None:
            return line
        if item.type in _OPENS:
            return self._blocks.add(place, _OPENS[item.type])
        if item.type in ("function_call", "custom_tool_call") and item.name:
            return self._blocks.add(place, ToolUse(response.identity(item), item.name, ""))
        return None

    def _end(self, place: int, item: response.Item) -> None:
        """The whole item: what no delta has brought of it is told now."""
        line = self._add(place, item)
        if line is None or line.ended:
            return
        whole = response.blocks_of(item)
        if whole and not line.has_said:
            match whole[0]:
                case Text(text=text, logprobs=likely):
                    self._blocks.say(line, text)
                    self._weigh(likely)
                    self._refused = self._refused or any(part.refusal for part in item.content or ())
                case Thinking(text=text):
                    self._blocks.say(line, text)
                case ToolUse(arguments=arguments):
                    self._blocks.say(line, "" if arguments == "{}" else arguments)
        signature = names.sign(item.encrypted_content, item=item.id or "") if item.encrypted_content else ""
        self._blocks.end(line, signature=signature if isinstance(line.block, Thinking) else "")

    def _finish(self, kind: str, ended: response.Response) -> None:
        if kind in _FAILURES or ended.error:
            fault = error.read_stream_error(ended.error) if ended.error else UpstreamBroken("the provider gave up")
            self._fail(fault, counted=ended.usage)
            return
        if not self._blocks.lines:
            for place, item in enumerate(ended.output or ()):
                self._end(place, item)
        made = self._blocks
        made.finish()
        if kind == "response.incomplete":
            ended.status = "incomplete"
        if made.cut and ended.status != "incomplete":
            self._fail(UpstreamBroken("the provider called a tool with arguments that are no JSON object"))
            return
        reason = response.stop_reason(ended, called=made.called, cut=made.cut, refused=self._refused)
        self._ended = True
        made.events.append(Finished(reason, usage=usage.read(ended.usage), tier=tier(ended.service_tier)))


def _is_new(frame: sse.Frame) -> bool:
    """Of a kind that is not read. Its fields are not ours to judge."""
    try:
        kind = _decode_type(frame.data).type or frame.event
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return kind != "" and kind not in _KNOWN
