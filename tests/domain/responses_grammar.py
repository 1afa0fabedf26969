"""A strict reader of our own Responses streams: order, places, numbers, and every item told whole at its end."""

from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response

from tests.domain.grammar import Told, events

ENDS = ("response.completed", "response.incomplete", "response.failed")
PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
STREAMED = {  # kind of item -> the events that its deltas, and their end, have
    "message": ("response.output_text", "content_index"),
    "reasoning": ("response.reasoning_summary_text", "summary_index"),
    "function_call": ("response.function_call_arguments", None),
    "custom_tool_call": ("response.custom_tool_call_input", None),
}
WHOLE = {"message": "text", "reasoning": "text", "function_call": "arguments", "custom_tool_call": "input"}
FIXED = {"id", "object", "created_at", "model", "instructions", "tools", "tool_choice", "metadata"}


def responses(stream: bytes) -> Told:
    """Checks the event grammar and returns what was said."""
    frames = [(name, json.loads(data)) for name, data in events(stream)]
    assert frames, "an empty stream"
    for number, (name, data) in enumerate(frames):
        assert (data["type"], data["sequence_number"]) == (name, number)
    assert [name for name, _ in frames[:2]] == ["response.created", "response.in_progress"]
    assert not any(name in ENDS for name, _ in frames[:-1])
    name, last = frames[-1]
    assert name in ENDS
    begun, ended = frames[0][1]["response"], last["response"]
    assert begun == frames[1][1]["response"]
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    assert ended["status"] == name.removeprefix("response.")
    assert {field: begun[field] for field in FIXED} == {field: ended[field] for field in FIXED}
    told = Told()
    items = _items(frames[2:-1], told, is_cut=name == "response.failed")
    assert ended["output"] == items
    _end(ended, told)
    for whole in (begun, ended):
        Response.model_validate(_judged(whole))
    return told


def answer(body: bytes) -> Told:
    """The same of an answer that came whole."""
    whole = json.loads(body)
    Response.model_validate(_judged(whole))
    told = Told()
    for item in whole["output"]:
        _said(item, told)
    _end(whole, told)
    return told


def _judged(whole: dict[str, Any]) -> dict[str, Any]:
    """The SDK's types know the errors of OpenAI's own answers only; Codex knows others."""
    return whole | {"error": None} if whole["error"] else whole


def _end(ended: dict[str, Any], told: Told) -> None:
    status = ended["status"]
    if status == "failed":
        told.error = ended["error"]
        assert set(told.error) == {"code", "message"}
        assert ended["usage"] is None
        return
    assert ended["error"] is None
    reason = ended["incomplete_details"]
    assert (reason is not None) == (status == "incomplete")
    told.stop = reason["reason"] if reason else "completed"
    told.usage = usage = ended["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert set(usage["input_tokens_details"]) == {"cached_tokens", "cache_write_tokens"}
    assert set(usage["output_tokens_details"]) == {"reasoning_tokens"}


def _items(frames: list[tuple[str, dict[str, Any]]], told: Told, *, is_cut: bool) -> list[dict[str, Any]]:
    """One item open at a time, at places 0, 1, 2 …"""
    items: list[dict[str, Any]] = []
    while frames:
        name, added = frames.pop(0)
        assert name == "response.output_item.added"
        assert added["output_index"] == len(items)
        end = next((at for at, frame in enumerate(frames) if frame[0] == "response.output_item.done"), None)
        if end is None:
            assert is_cut, "an item was left open"
            _inside(frames, added["item"], told, index=len(items), is_cut=True)
            return items
        inside, done = frames[:end], frames[end][1]
        frames = frames[end + 1 :]
        item = done["item"]
        assert done["output_index"] == len(items)
        assert (item["id"], item["type"]) == (added["item"]["id"], added["item"]["type"])
        assert item["id"].startswith(PREFIXES[item["type"]])
        text = _inside(inside, item, told, index=len(items), is_cut=False)
        assert _text(item) == text
        _said(item, told)
        items.append(item)
    assert len({item["id"] for item in items}) == len(items)
    return items


def _inside(
    frames: list[tuple[str, dict[str, Any]]], item: dict[str, Any], told: Told, *, index: int, is_cut: bool
) -> str:
    """The text that the deltas make, which their end repeats."""
    event, place = STREAMED[item["type"]]
    text = ""
    frames = list(frames)
    if place is not None and frames:
        name, data = frames.pop(0)
        part = "response.content_part" if place == "content_index" else "response.reasoning_summary_part"
        assert name == f"{part}.added"
        assert data["part"]["text"] == ""
        if not is_cut:
            name, data = frames.pop()
            assert name == f"{part}.done"
            assert data["part"] == item["content" if place == "content_index" else "summary"][0]
    ended = None
    if frames and not is_cut:
        name, ended = frames.pop()
        assert name == f"{event}.done"
        _check_place(ended, item, index=index, place=place)
    for name, data in frames:
        assert name == f"{event}.delta"
        _check_place(data, item, index=index, place=place)
        assert data["delta"]
        text += data["delta"]
    if ended is not None:
        assert ended[WHOLE[item["type"]]] == text
    if is_cut and item["type"] == "message":
        told.text += text
    return text


def _check_place(data: dict[str, Any], item: dict[str, Any], *, index: int, place: str | None) -> None:
    assert (data["item_id"], data["output_index"]) == (item["id"], index)
    if place is not None:
        assert data[place] == 0
    if data["type"].startswith("response.output_text"):
        assert data["logprobs"] == []


def _text(item: dict[str, Any]) -> str:
    match item["type"]:
        case "message":
            (part,) = item["content"]
            return str(part.get("text") or part["refusal"])
        case "reasoning":
            return "".join(part["text"] for part in item["summary"])
        case "function_call":
            return str(item["arguments"])
    return str(item["input"])


def _said(item: dict[str, Any], told: Told) -> None:
    told.kinds.append(item["type"])
    match item["type"]:
        case "message":
            told.text += _text(item)
        case "reasoning":
            told.thinking += _text(item)
            assert item["encrypted_content"]
            told.signatures.append(item["encrypted_content"])
        case "function_call":
            assert item["call_id"]
            told.calls.append((item["call_id"], item["name"], item["arguments"]))
        case "custom_tool_call":
            told.calls.append((item["call_id"], item["name"], json.dumps({"input": item["input"]})))
