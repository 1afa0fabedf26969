"""Short ways to ask and to answer in OpenAI's dialect."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.chat import ChatRequest
from apps.domain.protocols import openai_chat
from apps.domain.protocols.contract import ClientCall, Target

CLIENT, UPSTREAM = openai_chat.CLIENT, openai_chat.UPSTREAM
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
TARGET = Target(protocol="openai_chat", model="gpt-up", max_output_tokens=4096)


def call(**fields: Any) -> ClientCall:
    """A request, read; `messages` and `model` are there unless given."""
    return CLIENT.read_request(json.dumps({"model": "gpt-test", "messages": HELLO} | fields).encode())


def chat(**fields: Any) -> ChatRequest:
    return CLIENT.to_chat(call(**fields))


def written(chat: ChatRequest, *quirks: str, capabilities: tuple[str, ...] = ()) -> dict[str, Any]:
    """The upstream's body."""
    target = Target(
        protocol="openai_chat",
        model="gpt-up",
        max_output_tokens=4096,
        quirks=frozenset(quirks),
        capabilities=frozenset(capabilities),
    )
    return json.loads(UPSTREAM.write_request(chat, target))


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **fields: Any) -> bytes:
    """A frame of an upstream's stream; without a delta and a finish reason it has no choices."""
    choices = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    body = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up-1", "choices": choices}
    return b"data: " + json.dumps(body | fields, separators=(",", ":")).encode() + b"\n\n"


def part(index: int | None, *, id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A frame with a fragment of one tool call."""
    function: dict[str, Any] = {"arguments": arguments} | ({"name": name} if name else {})
    fields = {"index": index, "id": id, "function": function}
    return chunk({"tool_calls": [{key: value for key, value in fields.items() if value is not None}]})


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
