"""Events to the frames of OpenAI's item grammar.

    response.created response.in_progress
    ( output_item.added … deltas, each kind with its `done` … output_item.done )*   one item at a time
    response.completed | response.incomplete | response.failed

Every event has its name and the next number. An item is closed when the next begins or the answer ends: only then is it
known whether it was cut.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import estimate, sse
from apps.domain.chat import Block, Likely, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.errors import GatewayError, UpstreamBroken
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
from apps.domain.protocols.openai_chat.answer import is_object
from apps.domain.protocols.openai_responses import answer, error, names, tools, wire

KEEPALIVE = b": keepalive\n\n"
LONGEST = 64 << 20
"""Bytes of an answer: it is told once more at its end, so it has to be held."""
_json = msgspec.json.encode
_DELTA = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b%b%b}\n\n'
_KINDS = {Text: "msg", Thinking: "rs", RedactedThinking: "rs"}


class _Item:
    """The item being written. `where` is what all its events say of its place; `kind` is its deltas' event."""

    def __init__(self, block: Block, identity: str, *, index: int, promised: tools.Promised | None) -> None:
        self.block = block
        self.id = identity
        self.index = index
        self.promised = promised
        self.where: wire.Object = {"item_id": identity, "output_index": index}
        self.kind = self.head = self.tail = b""
        self.pieces: list[str] = []
        self.signature = ""
        self.likely: list[Likely] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Encoder:
    """A `StreamEncoder`."""

    def __init__(self, *, call: ClientCall, created: int) -> None:
        self._call = call
        self._frame = answer.Frame(call, created=created)
        self._table = tools.Table(call.wire.body)
        self._number = 0
        self._item: _Item | None = None
        self._stopped = False  # the open item's block has ended
        self._output: list[msgspec.Raw] = []
        self._size = 0

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text):
                return self._say(text, likely=event.logprobs) if text else b""
            case ThinkingDelta(text=text):
                return self._say(text) if text else b""
            case ArgumentsDelta(json=text):
                return self._argue(text) if text else b""
            case BlockStarted(block=block):
                return self._close("completed") + self._open(block)
            case BlockStopped():
                self._stopped = True
                return b""
            case SignatureDelta(signature=signature):
                if self._item is not None:
                    self._item.signature = signature
                return b""
            case Started():
                return self._begin(event)
            case Finished():
                return self._finish(event)
            case Ping():
                return KEEPALIVE
            case Failed(error=fault):
                return self._fail(fault)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse.frame(kind, _json(data))

    def _lifecycle(self, kind: str, response: bytes) -> bytes:
        return self._event(kind, response=msgspec.Raw(response))

    def _begin(self, event: Started) -> bytes:
        self._frame.begin(event.id)
        response = self._frame.write("in_progress", [])
        return self._lifecycle("response.created", response) + self._lifecycle("response.in_progress", response)

    def _open(self, block: Block) -> bytes:
        """Text and thinking are begun when something is said: vendors open blocks that stay empty."""
        self._stopped = False
        match block:
            case ToolUse(name=name, arguments=arguments):
                promised = self._table.promised(name)
                self._item = self._new(block, answer.PREFIXES[promised.kind], promised=promised)
                return self._begin_call(self._item) + (self._argue(arguments) if arguments else b"")
            case Text(text=text) | Thinking(text=text):
                self._item = self._new(block, _KINDS[type(block)])
                return self._say(text) if text else b""
            case RedactedThinking():
                self._item = self._new(block, "rs")
        return b""

    def _new(self, block: Block, prefix: str, *, promised: tools.Promised | None = None) -> _Item:
        index = len(self._output)
        identity = names.item_id(prefix, answer=self._frame.id, at=index)
        return _Item(block, identity, index=index, promised=promised)

    def _say(self, text: str, *, likely: tuple[Likely, ...] = ()) -> bytes:
        item = self._item
        if item is None:
            return b""
        first = b"" if item.pieces else self._begin_words(item)
        if not likely:
            return first + self._delta(item, text)
        item.likely.extend(likely)
        return first + self._delta(item, text, tail=b',"logprobs":' + _json(answer.logprobs(likely)))

    def _argue(self, text: str) -> bytes:
        item = self._item
        if item is None or item.promised is None:
            return b""
        if item.promised.kind != "function":
            self._hold(item, text)
            return b""
        return self._delta(item, text)

    def _delta(self, item: _Item, text: str, *, tail: bytes | None = None) -> bytes:
        raw = self._hold(item, text)
        number = self._number
        self._number += 1
        return _DELTA % (item.kind, item.kind, number, item.head, raw, item.tail if tail is None else tail)

    def _hold(self, item: _Item, text: str) -> bytes:
        raw = _json(text)
        self._size += len(raw) - 2
        if self._size > LONGEST:
            raise UpstreamBroken("the provider's answer is too long")
        item.pieces.append(text)
        return raw

    def _added(self, item: _Item, raw: wire.Object) -> bytes:
        return self._event("response.output_item.added", output_index=item.index, item=raw)

    def _begin_words(self, item: _Item) -> bytes:
        if isinstance(item.block, Thinking):
            raw: wire.Object = {"id": item.id, "type": "reasoning", "summary": []}
            _prepare(item, "response.reasoning_summary_text.delta", {"summary_index": 0})
            part = {"type": "summary_text", "text": ""}
            return self._added(item, raw) + self._event(
                "response.reasoning_summary_part.added", **item.where, part=part
            )
        raw = answer.message(item.id, "", status="in_progress") | {"content": []}
        _prepare(item, "response.output_text.delta", {"content_index": 0}, tail=b',"logprobs":[]')
        part = answer.text_part("")
        return self._added(item, raw) + self._event("response.content_part.added", **item.where, part=part)

    def _begin_call(self, item: _Item) -> bytes:
        assert isinstance(item.block, ToolUse)
        assert item.promised is not None
        _prepare(item, "response.function_call_arguments.delta", {})
        empty = msgspec.structs.replace(item.block, arguments="")
        return self._added(item, answer.call_item(item.id, empty, promised=item.promised, status="in_progress"))

    def _close(self, status: answer.Status) -> bytes:
        item, self._item = self._item, None
        if item is None:
            return b""
        match item.block:
            case Text():
                frames, raw = self._close_text(item, status) if item.pieces else (b"", None)
            case Thinking() | RedactedThinking():
                frames, raw = self._close_thinking(item)
            case _ if status == "incomplete" and _is_spoiled(item):
                return b""
            case _:
                frames, raw = self._close_call(item, status)
        if raw is None:
            return b""
        encoded = msgspec.Raw(_json(raw))
        self._output.append(encoded)
        return frames + self._event("response.output_item.done", output_index=item.index, item=encoded)

    def _close_text(self, item: _Item, status: answer.Status) -> tuple[bytes, wire.Object]:
        text, likely = item.text, item.likely
        frames = self._event("response.output_text.done", **item.where, text=text, logprobs=answer.logprobs(likely))
        frames += self._event("response.content_part.done", **item.where, part=answer.text_part(text, likely=likely))
        return frames, answer.message(item.id, text, status=status, likely=likely)

    def _close_thinking(self, item: _Item) -> tuple[bytes, wire.Object | None]:
        block, frames = item.block, b""
        if isinstance(block, Thinking):
            text = item.text
            block = Thinking(text, item.signature or block.signature)
            if not text and not block.signature:
                return b"", None
            if text:
                part = {"type": "summary_text", "text": text}
                frames = self._event("response.reasoning_summary_text.done", **item.where, text=text)
                frames += self._event("response.reasoning_summary_part.done", **item.where, part=part)
        assert isinstance(block, Thinking | RedactedThinking)
        raw = answer.reasoning(item.id, block)
        return frames or self._added(item, raw | {"summary": []}), raw

    def _close_call(self, item: _Item, status: answer.Status) -> tuple[bytes, wire.Object]:
        assert isinstance(item.block, ToolUse)
        assert item.promised is not None
        frames = b""
        if item.promised.kind == "function" and not item.text.strip():
            frames += self._delta(item, "{}")
        block = msgspec.structs.replace(item.block, arguments=item.text)
        raw = answer.call_item(item.id, block, promised=item.promised, status=status)
        if item.promised.kind == "function":
            frames += self._event("response.function_call_arguments.done", **item.where, arguments=block.arguments)
        elif item.promised.kind == "custom":
            text = raw["input"]
            frames += self._event("response.custom_tool_call_input.delta", **item.where, delta=text)
            frames += self._event("response.custom_tool_call_input.done", **item.where, input=text)
        return frames, raw

    def _finish(self, event: Finished) -> bytes:
        reason = answer.INCOMPLETE.get(event.stop_reason)
        status: answer.Status = "incomplete" if reason else "completed"
        last = self._close(status)
        counted = event.usage or estimate.usage(self._call.body, size=self._size)
        response = self._frame.write(status, self._output, reason=reason, counted=counted, tier=event.tier)
        return last + self._lifecycle(f"response.{status}", response)

    def _fail(self, fault: GatewayError) -> bytes:
        response = self._frame.write("failed", self._output, error=error.failed(fault))
        return self._lifecycle("response.failed", response)


def _is_spoiled(item: _Item) -> bool:
    """A call cut in the middle, of a kind that cannot be told half: its caller would carry out what is not meant."""
    return item.promised is not None and item.promised.kind != "function" and not is_object(item.text)


def _prepare(item: _Item, kind: str, place: wire.Object, *, tail: bytes = b"") -> None:
    """What all deltas of an item have in common, written once."""
    item.where |= place
    item.kind = kind.encode()
    item.head = _json(item.where)[1:-1] + b',"delta":'
    item.tail = tail
