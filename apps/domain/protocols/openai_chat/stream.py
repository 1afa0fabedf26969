"""The answer that streams: events to a client's chunks, an upstream's chunks to events."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import estimate, sse
from apps.domain.chat import Likely, Opaque, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken, UpstreamError
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failed,
    Finished,
    Ping,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import answer, blocks, error, response, usage

KEEPALIVE = b": keepalive\n\n"
_json = msgspec.json.encode


class Encoder:
    """One role chunk, the deltas, one finish chunk, the usage if it was asked for, `[DONE]`.

    SDKs concatenate what comes twice, so id, type and name of a call go out once; nothing follows the usage.
    """

    def __init__(self, *, call: ClientCall, created: int) -> None:
        self._call = call
        self._created = created
        self._legacy = bool(call.wire.body.functions)
        self._usage = b',"usage":null' if call.wants_usage else b""
        self._id = ""
        self._identity = self._head = b""
        self._tail = b',"logprobs":null,"finish_reason":null}]' + self._usage + b"}\n\n"
        self._tools = 0
        self._in_tool = False
        self._arguments = False  # the open call has got some
        self._thought: list[str] = []
        self._details = 0
        self._size = 0  # of the answer: for an estimate, should no usage come

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text):
                if event.logprobs:
                    return self._weigh(event)
                return self._say(b'{"content":', text) if text else b""
            case ThinkingDelta(text=text):
                self._thought.append(text)
                return self._say(b'{"reasoning_content":', text) if text else b""
            case ArgumentsDelta(json=text):
                return self._argue(text) if self._in_tool and text else b""
            case BlockStarted(block=block):
                return self._start(block)
            case BlockStopped():
                return self._stop()
            case SignatureDelta(signature=signature):
                return self._sign(signature)
            case Started():
                return self._begin(event)
            case Finished():
                return self._finish(event)
            case Ping():
                return KEEPALIVE
            case Failed(error=fault):
                return error.stream_error(fault, request_id=self._call.request_id)

    def _say(self, kind: bytes, text: str) -> bytes:
        raw = _json(text)
        self._size += len(raw) - 2
        return self._head + kind + raw + b"}" + self._tail

    def _weigh(self, event: TextDelta) -> bytes:
        raw = _json(event.text)
        self._size += len(raw) - 2
        told = (raw, _json({"content": event.logprobs, "refusal": None}), self._usage)
        return self._head + b'{"content":%b},"logprobs":%b,"finish_reason":null}]%b}\n\n' % told

    def _delta(self, delta: bytes) -> bytes:
        return self._head + delta + self._tail

    def _begin(self, event: Started) -> bytes:
        self._id = self._call.answer_id(event.id, prefix=answer.ID, created=self._created)
        names = (
            self._id,
            self._created,
            self._call.model,
        )
        self._identity = b'data: {"id":%b,"object":"chat.completion.chunk","created":%b,"model":%b,' % tuple(
            map(_json, names)
        )
        self._head = self._identity + b'"choices":[{"index":0,"delta":'
        return self._delta(b'{"role":"assistant","content":""}')

    def _start(self, block: Any) -> bytes:
        match block:
            case ToolUse():
                return self._call_started(block)
            case Text(text=text) if text:
                return self._say(b'{"content":', text)
            case Thinking(text=text):
                self._thought = [text]
                return self._say(b'{"reasoning_content":', text) if text else b""
            case RedactedThinking():
                return self._detail(block)
            case Opaque():
                return b""
        return b""

    def _call_started(self, block: ToolUse) -> bytes:
        if self._legacy and self._tools:
            return b""  # a function_call holds one call only
        self._in_tool = True
        self._arguments = bool(block.arguments)
        function = {"name": block.name, "arguments": block.arguments}
        if self._legacy:
            delta: dict[str, Any] = {"function_call": function}
        else:
            identity = block.id or answer.mint(self._id, self._tools)
            delta = {"tool_calls": [{"index": self._tools, "id": identity, "type": "function", "function": function}]}
        self._tools += 1
        return self._delta(_json(delta))

    def _argue(self, text: str) -> bytes:
        self._arguments = True
        self._size += len(text)
        if self._legacy:
            return self._delta(b'{"function_call":{"arguments":' + _json(text) + b"}}")
        opening = b'{"tool_calls":[{"index":%d,"function":{"arguments":' % (self._tools - 1)
        return self._delta(opening + _json(text) + b"}}]}")

    def _stop(self) -> bytes:
        empty = self._in_tool and not self._arguments
        frame = self._argue("{}") if empty else b""
        self._in_tool = False
        self._thought = []
        return frame

    def _sign(self, signature: str) -> bytes:
        block = Thinking("".join(self._thought), signature)
        return self._detail(block) if answer.signed(block) else b""

    def _detail(self, block: Thinking | RedactedThinking) -> bytes:
        entry = response.detail(block, index=self._details)
        self._details += 1
        return self._delta(_json({"reasoning_details": [entry]}))

    def _finish(self, event: Finished) -> bytes:
        finish = answer.FINISH[event.stop_reason]
        if finish == "tool_calls":
            finish = ("function_call" if self._legacy else finish) if self._tools else "stop"
        served = b"" if event.tier is None else b',"service_tier":%b' % _json(event.tier)
        tail = b'{},"logprobs":null,"finish_reason":%b}]%b%b}\n\n' % (_json(finish), self._usage, served)
        frames = self._head + tail
        if self._call.wants_usage:
            counted = event.usage or estimate.usage(self._call.body, size=self._size)
            frames += self._identity + b'"choices":[],"usage":%b}\n\n' % _json(usage.write(counted))
        return frames + error.DONE


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None  # a string; a whole object at some vendors


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Any = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    object: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Decoder:
    """Chunks to events. Every stream ends in one `Finished`, or one `Failed` and nothing more.

    The usage follows the finish reason, so the end is held back until it comes, or `[DONE]`, or the end of the file.
    """

    def __init__(self) -> None:
        self._frames = sse.Decoder()
        self._blocks = blocks.Blocks()
        self._tags = answer.ThinkTags()
        self._source = ""  # where this vendor puts its reasoning, once it is known
        self._started = False
        self._ended = False
        self._label: str | None = None
        self._refused = False
        self._usage: Any = None
        self._tier: Any = None
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
        try:
            self._frames.close()
            self._finish()
        except UpstreamError as fault:
            self._fail(fault)
        return self._take()

    def _take(self) -> list[Event]:
        events, self._blocks.events = self._blocks.events, []
        return events

    def _fail(self, fault: UpstreamError) -> None:
        self._ended = True
        self._blocks.events.append(Failed(fault, usage=usage.read(self._usage)))

    def _read(self, frame: sse.Frame) -> None:
        data = frame.data
        if data.startswith(b"[DONE]"):
            self._finish()
            return
        if not data.strip():
            return
        try:
            chunk = _decode(data)
            fault = error.within(chunk, data, name=frame.event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
            raise UpstreamBroken("the provider sent a chunk that cannot be read") from garbled
        self._usage = chunk.usage or self._usage
        if fault:
            raise error.read_stream_error(fault)
        if not chunk.choices and not chunk.usage:
            return  # Azure's prompt filter, somebody's ping
        self._chunk(chunk)

    def _chunk(self, chunk: _Chunk) -> None:
        if not self._started:
            self._started = True
            self._blocks.response_id = chunk.id or ""
            self._blocks.events.append(Started(chunk.id or "", chunk.model or ""))
        finished = self._label is not None
        self._tier = chunk.service_tier or self._tier
        for choice in chunk.choices or ():
            if choice.index:
                continue  # n > 1 was never asked for
            if choice.delta is not None:
                self._delta(choice.delta)
            if choice.logprobs or self._likely:
                self._weigh(choice.logprobs)
            self._label = self._label or choice.finish_reason or None
        if finished and chunk.usage:
            self._finish()

    def _weigh(self, raw: Any) -> None:
        told = raw.get("content") if isinstance(raw, dict) else None
        self._likely = answer.weigh(self._blocks.events, self._likely + answer.read_likely(told))

    def _delta(self, delta: _Delta) -> None:
        if (delta.reasoning_content or delta.reasoning) and (thought := self._reasoning(delta)):
            self._blocks.say("thinking", thought)
        if delta.content and (text := answer.text_of(delta.content)):
            self._content(text)
        if delta.refusal:
            self._refused = True
            self._blocks.say("text", delta.refusal)
        for call in delta.tool_calls or ():
            self._function(call.index, call.id or "", call.function)
        if delta.function_call is not None:
            self._function(0, "", delta.function_call)

    def _reasoning(self, delta: _Delta) -> str:
        """One source a stream: some vendors say the same under two names."""
        if not self._source:
            self._source = "reasoning_content" if delta.reasoning_content else "reasoning"
        text = delta.reasoning_content if self._source == "reasoning_content" else delta.reasoning
        return text if isinstance(text, str) and self._source != "tags" else ""

    def _content(self, text: str) -> None:
        if self._source and self._source != "tags":
            pieces = [*self._tags.close(), (False, text)]
        else:
            pieces = self._tags.feed(text)
        for thinking, piece in pieces:
            if thinking:
                self._source = "tags"
            self._blocks.say("thinking" if thinking else "text", piece)

    def _function(self, index: int | None, call_id: str, function: _Function | None) -> None:
        arguments = function.arguments if function else None
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = _json(arguments).decode()
        name = (function.name if function else None) or ""
        self._blocks.call(index, call_id=call_id, name=name, arguments=arguments)

    def _finish(self) -> None:
        if self._label is None:
            raise UpstreamBroken("the provider's answer ended before it was complete")
        self._ended = True
        for thinking, piece in self._tags.close():
            self._blocks.say("thinking" if thinking else "text", piece)
        made = self._blocks
        made.finish()
        reason = answer.stop_reason(
            self._label, called=made.called, cut=made.cut, refused=self._refused, said=made.said
        )
        made.events.append(Finished(reason, usage=usage.read(self._usage), tier=answer.tier(self._tier)))
