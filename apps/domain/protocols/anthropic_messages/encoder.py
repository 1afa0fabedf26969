"""Events to the frames of Anthropic's stream grammar (PROTOCOLS A10)."""

from __future__ import annotations

import msgspec

from apps.domain import chat, estimate, events, sse
from apps.domain.protocols.anthropic_messages import blocks, error, names, response, stops, usage, wire
from apps.domain.protocols.contract import ClientCall

PING = sse.frame("ping", b'{"type": "ping"}')
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b}}\n\n'
_json = msgspec.json.Encoder().encode


class Encoder:
    """A `StreamEncoder`. Numbers its own blocks, for some of another dialect's have no equivalent."""

    def __init__(self, *, call: ClientCall, created: int) -> None:
        self._call = call
        self._created = created
        self._id = ""
        self._index = -1
        self._skips = False
        self._calls = False
        self._size = 0
        self._signer: names.Signer | None = None
        self._usage = estimate.usage(call.body, size=1)

    def encode(self, event: events.Event) -> bytes:
        match event:
            case events.TextDelta(text=text):
                return self._delta(b'"text_delta","text":', text)
            case events.ThinkingDelta(text=text):
                if self._signer is not None:
                    self._signer.update(text)
                return self._delta(b'"thinking_delta","thinking":', text)
            case events.ArgumentsDelta(json=text):
                return self._delta(b'"input_json_delta","partial_json":', text)
            case events.BlockStarted(block=block):
                return self._start_block(block)
            case events.BlockStopped():
                return self._stop_block()
            case events.Started():
                return self._start(event)
            case events.Finished():
                return self._finish(event)
            case events.Ping():
                return PING
            case events.Failed(error=failure):
                return error.stream_error(failure, request_id=self._call.request_id)
            case events.SignatureDelta(signature=signature):
                if self._signer is not None:
                    self._signer.made = signature
                return b""  # another vendor's: ours is written when the block ends

    def _delta(self, kind: bytes, text: str) -> bytes:
        if self._skips or not text:
            return b""
        raw = _json(text)
        self._size += len(raw) - 2
        return _DELTA % (self._index, kind + raw)

    def _start(self, event: events.Started) -> bytes:
        self._id = self._call.answer_id(event.id, prefix=response.ID, created=self._created)
        if event.usage is not None:
            self._usage = event.usage
        message: wire.Object = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._call.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage.write(self._usage),
        }
        return _frame({"type": "message_start", "message": message})

    def _start_block(self, block: chat.Block) -> bytes:
        self._signer = None
        match block:
            case chat.Text(text=text):
                raw: wire.Object | None = {"type": "text", "text": ""}
                rest: events.Event = events.TextDelta(0, text)
            case chat.Thinking(text=text):
                self._signer = names.Signer()
                raw, rest = {"type": "thinking", "thinking": "", "signature": ""}, events.ThinkingDelta(0, text)
            case chat.ToolUse(name=name, arguments=arguments):
                self._calls = True
                id_ = response.call_id(block, answer=self._id, at=self._index + 1)
                raw = {"type": "tool_use", "id": id_, "name": name, "input": {}}
                rest = events.ArgumentsDelta(0, arguments)
            case _:
                raw, rest = blocks.write(block), events.TextDelta(0, "")
        self._skips = raw is None
        if raw is None:
            return b""
        self._index += 1
        first = _frame({"type": "content_block_start", "index": self._index, "content_block": raw})
        return first + self.encode(rest)

    def _stop_block(self) -> bytes:
        if self._skips:
            self._skips = False
            return b""
        signed = b""
        if self._signer is not None:
            signed = _DELTA % (self._index, b'"signature_delta","signature":' + _json(self._signer.signature()))
            self._signer = None
        return signed + _frame({"type": "content_block_stop", "index": self._index})

    def _finish(self, event: events.Finished) -> bytes:
        counted = event.usage or estimate.usage(self._call.body, size=self._size)
        reason = stops.write(event.stop_reason, calls=self._calls)
        delta = {"stop_reason": reason, "stop_sequence": event.stop_sequence}
        last = _frame({"type": "message_delta", "delta": delta, "usage": usage.write(counted)})
        return last + _frame({"type": "message_stop"})


def _frame(data: wire.Object) -> bytes:
    return sse.frame(data["type"], _json(data))
