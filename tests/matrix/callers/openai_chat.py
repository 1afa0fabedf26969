"""The wishes of a caller who speaks OpenAI Chat Completions, and what it understands."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.domain import grammar
from tests.matrix.said import Refused, Said
from tests.matrix.wishes import PDF, PIXEL, Stop, Wish

PATH = "/v1/chat/completions"
OVERFLOW = "context_length_exceeded"
OVERLOADED = (503, "server_error")
_STOPS: dict[str, Stop] = {"stop": "end", "length": "cap", "tool_calls": "tools", "content_filter": "refusal"}


def body(wish: Wish, *, model: str, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "max_completion_tokens": wish.cap, "messages": _messages(wish)}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    if wish.tools:
        asked["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
            }
            for tool in wish.tools
        ]
    if wish.thinks:
        asked |= {"reasoning_effort": "high", "max_completion_tokens": 4000}
    if wish.schema:
        described = {"name": "person", "schema": wish.schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": described}
    if wish.stop:
        asked["stop"] = [wish.stop]
    return asked


def _messages(wish: Wish) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if wish.image:
        content.append(_image())
    if wish.document:
        file = {"filename": "report.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
        content.append({"type": "file", "file": file})
    if wish.image_at:
        content.append(_image(wish.image_at))
    content.append({"type": "text", "text": wish.said})
    turns: list[dict[str, Any]] = [{"role": "system", "content": wish.system}] if wish.system else []
    turns.append({"role": "user", "content": content})
    if wish.results:
        calls = [
            {"id": r.id, "type": "function", "function": {"name": r.name, "arguments": json.dumps(r.arguments)}}
            for r in wish.results
        ]
        turns.append({"role": "assistant", "content": "Let me look.", "tool_calls": calls})
        turns += [{"role": "tool", "tool_call_id": r.id, "content": r.text} for r in wish.results]
        # This dialect's results are text: a caller shows an image in a turn of its own.
        turns += [{"role": "user", "content": [_image()]} for r in wish.results if r.image]
    return turns


def _image(url: str = f"data:image/png;base64,{PIXEL}") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def read(response: httpx2.Response, *, stream: bool, relayed: bool) -> Said:
    return _read_stream(response.content, relayed=relayed) if stream else _read_completion(response.json())


def _read_stream(raw: bytes, *, relayed: bool) -> Said:
    told = grammar.openai(raw, wants_usage=True, relayed=relayed)
    return Said(
        text=told.text,
        thinking=told.thinking,
        redacted=bool(told.signatures),
        calls=told.arguments if told.error is None else [],
        stop=_STOPS[told.stop] if told.stop else None,
        raw_stop=told.stop,
        usage=_usage(told.usage) if told.usage else {},
        error=told.error,
    )


def _read_completion(completion: dict[str, Any]) -> Said:
    assert completion["object"] == "chat.completion"
    (choice,) = completion["choices"]
    message = choice["message"]
    assert message["role"] == "assistant"
    said = Said(
        text=message.get("content") or message.get("refusal") or "",
        thinking=message.get("reasoning_content") or "",
        redacted=any("encrypted" in detail["type"] for detail in message.get("reasoning_details") or ()),
        stop=_STOPS[choice["finish_reason"]],
        raw_stop=choice["finish_reason"],
        usage=_usage(completion["usage"]),
    )
    for call in message.get("tool_calls") or ():
        assert call["type"] == "function"
        assert call["id"]
        said.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
    return said


def _usage(told: dict[str, Any]) -> dict[str, int]:
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
    details = told.get("prompt_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    fresh = told["prompt_tokens"] - read - written
    return {"fresh": fresh, "read": read, "written": written, "out": told["completion_tokens"]}


def refused(response: httpx2.Response) -> Refused:
    error = json.loads(response.content)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return Refused(
        status=response.status_code,
        kind=error["type"],
        code=error["code"],
        field=error["param"],
        message=error["message"],
    )
