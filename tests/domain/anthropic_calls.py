"""Short ways to ask and to answer in Anthropic's dialect."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.chat import ChatRequest, Message, Text
from apps.domain.protocols import anthropic_messages
from apps.domain.protocols.contract import ClientCall, Target

CLIENT, UPSTREAM = anthropic_messages.CLIENT, anthropic_messages.UPSTREAM
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
TARGET = Target(protocol="anthropic_messages", model="claude-up", max_output_tokens=4096)
USAGE = {"input_tokens": 10, "output_tokens": 5}


def call(**fields: Any) -> ClientCall:
    """A request, read; `model`, `max_tokens` and `messages` are there unless given."""
    return CLIENT.read_request(
        json.dumps({"model": "claude-test", "max_tokens": 100, "messages": HELLO} | fields).encode()
    )


def chat(**fields: Any) -> ChatRequest:
    return CLIENT.to_chat(call(**fields))


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    """A canonical request, as another dialect makes it."""
    return ChatRequest(model="any", messages=messages or (Message("user", (Text("hello"),)),), **fields)


def written(request: ChatRequest, *capabilities: str, model: str = "claude-up") -> dict[str, Any]:
    """The upstream's body."""
    target = Target(
        protocol="anthropic_messages", model=model, max_output_tokens=64_000, capabilities=frozenset(capabilities)
    )
    return json.loads(UPSTREAM.write_request(request, target))


def event(type_: str, **fields: Any) -> bytes:
    """A frame of an upstream's stream, padded as Anthropic pads it."""
    data = json.dumps({"type": type_} | fields, separators=(",", ":"), ensure_ascii=False)
    return f"event: {type_}\ndata: {data[:-1]}      }}\n\n".encode()


def start(**fields: Any) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "content": []}
    return event("message_start", message=message | {"usage": {"input_tokens": 10, "output_tokens": 1}} | fields)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """A whole block: its start, its deltas, its stop."""
    frames = [event("content_block_start", index=index, content_block=content)]
    frames += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*frames, event("content_block_stop", index=index)])


def text(index: int, *pieces: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool(index: int, *pieces: str, id: str = "toolu_1", name: str = "weather") -> bytes:
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas)


def thinking(index: int, *pieces: str, signature: str = "sig==") -> bytes:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    deltas += [{"type": "signature_delta", "signature": signature}] if signature else []
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def end(reason: str | None = "end_turn", **fields: Any) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return event("message_delta", delta=delta, **({"usage": {"output_tokens": 5}} | fields)) + event("message_stop")


PING = event("ping")
