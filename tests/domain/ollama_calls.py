"""Short ways to ask an Ollama server, and to answer as one."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.chat import ChatRequest, Message, Text
from apps.domain.events import Event
from apps.domain.protocols import ollama_chat
from apps.domain.protocols.contract import Target

UPSTREAM = ollama_chat.UPSTREAM
AT = "2026-11-01T10:00:00.123456789Z"


def chat(*messages: Message, **fields: Any) -> ChatRequest:
    said = messages or (Message("user", (Text("hello"),)),)
    return ChatRequest(model="asked", messages=said, **fields)


def written(asked: ChatRequest, *, model: str = "qwen3", capabilities: tuple[str, ...] = ()) -> dict[str, Any]:
    """The upstream's body."""
    target = Target(
        protocol="ollama_chat",
        model=model,
        max_output_tokens=4096,
        context_tokens=32768,
        capabilities=frozenset(capabilities),
    )
    return json.loads(UPSTREAM.write_request(asked, target))


def line(*, done: bool = False, **fields: Any) -> bytes:
    """`content`, `thinking` and `tool_calls` make the message; the rest is beside it."""
    names = ("content", "thinking", "tool_calls")
    message = {"role": "assistant", "content": ""} | {name: fields.pop(name) for name in names if name in fields}
    body = {"model": "qwen3", "created_at": AT, "message": message, "done": done} | fields
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def last(reason: str = "stop", *, prompt: int = 10, output: int = 5, **fields: Any) -> bytes:
    return line(done=True, done_reason=reason, prompt_eval_count=prompt, eval_count=output, **fields)


def call(name: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    return fields | {"function": {"name": name, "arguments": arguments}}


def decode(*pieces: bytes) -> list[Event]:
    decoder = UPSTREAM.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()
