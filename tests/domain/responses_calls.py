"""Short ways to ask and to answer in the Responses dialect."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.chat import ChatRequest
from apps.domain.protocols import exchange, openai_responses
from apps.domain.protocols.contract import ClientCall, Exchange, Target

CLIENT, UPSTREAM = openai_responses.CLIENT, openai_responses.UPSTREAM
TARGET = Target(protocol="openai_responses", model="gpt-up", max_output_tokens=4096)
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}


def call(**fields: Any) -> ClientCall:
    """A request, read; `input` and `model` are there unless given."""
    return CLIENT.read_request(json.dumps({"model": "gpt-test", "input": "hello"} | fields).encode())


def chat(**fields: Any) -> ChatRequest:
    return CLIENT.to_chat(call(**fields))


def written(chat: ChatRequest, *quirks: str, capabilities: tuple[str, ...] = (), cap: int = 4096) -> dict[str, Any]:
    """The upstream's body."""
    target = Target(
        protocol="openai_responses",
        model="gpt-up",
        max_output_tokens=cap,
        quirks=frozenset(quirks),
        capabilities=frozenset(capabilities),
    )
    return json.loads(UPSTREAM.write_request(chat, target))


def opened(*, stream: bool = True, upstream: str = "openai_responses", **fields: Any) -> Exchange:
    target = Target(protocol=upstream, model="up", max_output_tokens=1000)
    return exchange.open(call(stream=stream, **fields), target, request_id="req_1", created=1)


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def response(status: str, *output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "up-1", "error": None}
    return head | {"output": list(output), "usage": USAGE if status in ("completed", "incomplete") else None} | fields


def message(text: str, **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]} | fields


def function_call(arguments: str, *, name: str = "weather", call_id: str = "call_1", **fields: Any) -> dict[str, Any]:
    return {"id": "fc_1", "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments} | fields


def answer(status: str, *output: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(response(status, *output, **fields)).encode()


CREATED = event("response.created", response=response("in_progress"))


def completed(*output: dict[str, Any], status: str = "completed", **fields: Any) -> bytes:
    return event(f"response.{status}", response=response(status, *output, **fields))
