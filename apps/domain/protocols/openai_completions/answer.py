"""The answer, whole or in chunks. What the model thought before it wrote has no place in it."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, estimate
from apps.domain.chat import ChatResponse, StopReason, Text
from apps.domain.events import BlockStarted, Event, Failed, Finished, Ping, Started, TextDelta
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import error, usage
from apps.domain.protocols.openai_chat.answer import FINISH
from apps.domain.protocols.openai_chat.stream import KEEPALIVE
from apps.domain.tokens import NOTHING

_json = msgspec.json.encode


def write_response(response: ChatResponse, *, call: ClientCall, created: int) -> bytes:
    said = "".join(block.text for block in response.content if isinstance(block, Text))
    counted = response.usage
    if counted == NOTHING:
        counted = estimate.usage(call.body, size=chat.size(response.content))
    body = {
        **_identity(response.id, call=call, created=created),
        "choices": [_choice(echo(call) + said, finish=_finish(response.stop_reason or "end_turn"))],
        "usage": usage.write(counted),
    }
    return _json(body)


class Encoder:
    """An empty chunk (or the prompt, for who wants it echoed), the text, the finish reason, the usage if it was asked
    for, `[DONE]`."""

    def __init__(self, *, call: ClientCall, created: int) -> None:
        self._call = call
        self._created = created
        self._head: dict[str, Any] = {}
        self._size = 0

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text) | BlockStarted(block=Text(text=text)):
                self._size += len(text.encode("utf-8", "replace"))
                return self._chunk(text) if text else b""
            case Started():
                self._head = _identity(event.id, call=self._call, created=self._created)
                return self._chunk(echo(self._call))
            case Finished():
                return self._last(event)
            case Ping():
                return KEEPALIVE
            case Failed(error=fault):
                return error.stream_error(fault, request_id=self._call.request_id)
        return b""

    def _chunk(self, text: str, *, finish: str | None = None) -> bytes:
        chunk: dict[str, Any] = {**self._head, "choices": [_choice(text, finish=finish)]}
        if self._call.wants_usage:
            chunk["usage"] = None
        return b"data: %b\n\n" % _json(chunk)

    def _last(self, event: Finished) -> bytes:
        frames = self._chunk("", finish=_finish(event.stop_reason))
        if self._call.wants_usage:
            counted = event.usage or estimate.usage(self._call.body, size=self._size)
            frames += b"data: %b\n\n" % _json({**self._head, "choices": [], "usage": usage.write(counted)})
        return frames + error.DONE


def _identity(foreign: str, *, call: ClientCall, created: int) -> dict[str, Any]:
    name = call.answer_id(foreign, prefix="cmpl-", created=created)
    return {"id": name, "object": "text_completion", "created": created, "model": call.model}


def _choice(text: str, *, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def _finish(reason: StopReason) -> str:
    return "stop" if reason == "tool_use" else FINISH[reason]


def echo(call: ClientCall) -> str:
    """What the answer begins with."""
    prompt: str = call.wire.prompt
    return prompt if call.wire.body.echo else ""
