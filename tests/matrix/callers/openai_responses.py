"""The wishes of a caller who speaks OpenAI Responses, and what it understands."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.domain import grammar
from tests.matrix.callers import openai_chat
from tests.matrix.said import Refused, Said
from tests.matrix.wishes import PDF, PIXEL, Stop, Wish

PATH = "/v1/responses"
OVERFLOW = openai_chat.OVERFLOW
OVERLOADED = openai_chat.OVERLOADED
_CUT: dict[str, Stop] = {"max_output_tokens": "cap", "content_filter": "refusal"}
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def body(wish: Wish, *, model: str, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "max_output_tokens": wish.cap, "input": _items(wish), "store": False}
    if stream:
        asked["stream"] = True
    if wish.system:
        asked["instructions"] = wish.system
    if wish.tools:
        asked["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": False,
            }
            for tool in wish.tools
        ]
    if wish.thinks:
        asked |= {
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "max_output_tokens": 4000,
        }
    if wish.schema:
        asked["text"] = {"format": {"type": "json_schema", "name": "person", "schema": wish.schema, "strict": True}}
    return asked


def _items(wish: Wish) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if wish.image:
        content.append(_image())
    if wish.document:
        data = f"data:application/pdf;base64,{PDF}"
        content.append({"type": "input_file", "filename": "report.pdf", "file_data": data})
    if wish.image_at:
        content.append(_image(wish.image_at))
    if wish.document_at:
        content.append({"type": "input_file", "file_url": wish.document_at})
    content.append({"type": "input_text", "text": wish.said})
    items: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": content}]
    items += [
        {"type": "function_call", "call_id": r.id, "name": r.name, "arguments": json.dumps(r.arguments)}
        for r in wish.results
    ]
    for result in wish.results:
        output: Any = result.text
        if result.image:
            output = [{"type": "input_text", "text": result.text}, _image()]
        items.append({"type": "function_call_output", "call_id": result.id, "output": output})
    return items


def _image(url: str = f"data:image/png;base64,{PIXEL}") -> dict[str, Any]:
    return {"type": "input_image", "detail": "auto", "image_url": url}


def read(response: httpx2.Response, *, stream: bool, relayed: bool) -> Said:
    return _read_stream(response.content) if stream else _read_response(response.json())


def _read_stream(raw: bytes) -> Said:
    """Events are numbered; an item is begun, told piece by piece and ended whole; the last event holds them all."""
    told = [(name, json.loads(data)) for name, data in grammar.events(raw)]
    assert [data["sequence_number"] for _, data in told] == list(range(len(told)))
    assert all(data["type"] == name for name, data in told)
    assert [name for name, _ in told[:2]] == ["response.created", "response.in_progress"]
    assert [name for name, _ in told if name in _TERMINAL] == [told[-1][0]]
    done = [data["item"] for name, data in told if name == "response.output_item.done"]
    begun = [data["output_index"] for name, data in told if name == "response.output_item.added"]
    assert begun == list(range(len(begun)))
    last, pieces = told[-1][1]["response"], _pieces(told)
    if told[-1][0] == "response.failed":
        return Said(text=pieces["text"], error=last["error"])
    assert last["output"] == done
    said = _read_response(last)
    assert said.text == pieces["text"]
    assert said.thinking == pieces["thinking"]
    arguments = [item["arguments"] for item in done if item["type"] == "function_call"]
    assert "".join(arguments) == pieces["arguments"]
    return said


def _pieces(told: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    kinds = {
        "response.output_text.delta": "text",
        "response.refusal.delta": "text",
        "response.reasoning_summary_text.delta": "thinking",
        "response.function_call_arguments.delta": "arguments",
    }
    pieces = dict.fromkeys(("text", "thinking", "arguments"), "")
    for name, data in told:
        if name in kinds:
            pieces[kinds[name]] += data["delta"]
    return pieces


def _read_response(response: dict[str, Any]) -> Said:
    assert response["object"] == "response"
    said = Said(usage=_usage(response["usage"]), raw_stop=response["status"])
    for item in response["output"]:
        match item["type"]:
            case "message":
                assert item["role"] == "assistant"
                for part in item["content"]:
                    said.text += part["refusal"] if part["type"] == "refusal" else part["text"]
                    said.stop = "refusal" if part["type"] == "refusal" else said.stop
            case "reasoning":
                said.thinking += "".join(part["text"] for part in item["summary"])
                said.redacted = said.redacted or bool(item.get("encrypted_content") and not item["summary"])
            case "function_call":
                assert item["call_id"]
                said.calls.append((item["name"], json.loads(item["arguments"])))
            case other:
                raise AssertionError(other)
    if response["status"] == "incomplete":
        said.stop = _CUT[response["incomplete_details"]["reason"]]
    elif said.stop is None:
        said.stop = "tools" if said.calls else "end"
    return said


def _usage(told: dict[str, Any]) -> dict[str, int]:
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
    details = told["input_tokens_details"]
    read, written = details["cached_tokens"], details.get("cache_write_tokens") or 0
    fresh = told["input_tokens"] - read - written
    return {"fresh": fresh, "read": read, "written": written, "out": told["output_tokens"]}


def refused(response: httpx2.Response) -> Refused:
    return openai_chat.refused(response)
