"""The wishes of a caller who speaks Anthropic Messages, and what it understands."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.domain import grammar
from tests.matrix.said import Refused, Said
from tests.matrix.wishes import PDF, PIXEL, Stop, Wish

PATH = "/v1/messages"
OVERFLOW = "prompt is too long"
OVERLOADED = (529, "overloaded_error")
_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "cap",
    "stop_sequence": "stop",
    "tool_use": "tools",
    "refusal": "refusal",
}


def body(wish: Wish, *, model: str, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "max_tokens": wish.cap, "messages": _messages(wish)}
    if stream:
        asked["stream"] = True
    if wish.system:
        asked["system"] = [{"type": "text", "text": wish.system, "cache_control": {"type": "ephemeral"}}]
    if wish.tools:
        asked["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in wish.tools
        ]
    if wish.thinks:
        asked |= {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
    if wish.schema:
        asked["output_config"] = {"format": {"type": "json_schema", "schema": wish.schema}}
    if wish.stop:
        asked["stop_sequences"] = [wish.stop]
    return asked


def _messages(wish: Wish) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if wish.image:
        content.append({"type": "image", "source": _source("image/png", PIXEL)})
    if wish.document:
        content.append({"type": "document", "source": _source("application/pdf", PDF), "title": "report.pdf"})
    if wish.image_at:
        content.append({"type": "image", "source": {"type": "url", "url": wish.image_at}})
    if wish.document_at:
        content.append({"type": "document", "source": {"type": "url", "url": wish.document_at}, "title": "report.pdf"})
    content.append({"type": "text", "text": wish.said})
    turns = [{"role": "user", "content": content}]
    if wish.results:
        calls = [{"type": "tool_use", "id": r.id, "name": r.name, "input": r.arguments} for r in wish.results]
        turns.append({"role": "assistant", "content": [{"type": "text", "text": "Let me look."}, *calls]})
        turns.append({"role": "user", "content": [_result(result) for result in wish.results]})
    return turns


def _result(result: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": result.text}]
    if result.image:
        content.append({"type": "image", "source": _source("image/png", PIXEL)})
    return {"type": "tool_result", "tool_use_id": result.id, "content": content}


def _source(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": data}


def read(response: httpx2.Response, *, stream: bool, relayed: bool) -> Said:
    return _read_stream(response.content) if stream else _read_message(response.json())


def _read_stream(raw: bytes) -> Said:
    told = grammar.anthropic(raw)
    return Said(
        text=told.text,
        thinking=told.thinking,
        redacted="redacted_thinking" in told.kinds,
        calls=told.arguments if told.error is None else [],
        stop=_STOPS[told.stop] if told.stop else None,
        raw_stop=told.stop,
        usage=_usage(told.usage) if told.usage else {},
        error=told.error,
    )


def _read_message(message: dict[str, Any]) -> Said:
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    said = Said(stop=_STOPS[message["stop_reason"]], raw_stop=message["stop_reason"], usage=_usage(message["usage"]))
    for block in message["content"]:
        match block["type"]:
            case "text":
                said.text += block["text"]
            case "thinking":
                assert block["signature"]
                said.thinking += block["thinking"]
            case "redacted_thinking":
                assert block["data"]
                said.redacted = True
            case "tool_use":
                assert set(block) >= {"id", "name", "input"}
                said.calls.append((block["name"], block["input"]))
            case other:
                raise AssertionError(other)
    return said


def _usage(told: dict[str, Any]) -> dict[str, int]:
    return {
        "fresh": told["input_tokens"],
        "read": told.get("cache_read_input_tokens") or 0,
        "written": told.get("cache_creation_input_tokens") or 0,
        "out": told["output_tokens"],
    }


def refused(response: httpx2.Response) -> Refused:
    told = json.loads(response.content)
    assert told["type"] == "error"
    error = told["error"]
    field, _, _ = error["message"].partition(":")
    return Refused(
        status=response.status_code, kind=error["type"], code=None, field=field.strip(), message=error["message"]
    )
