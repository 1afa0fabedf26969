"""Strict readers of our own output: what the SDKs silently forgive, or crash on, fails here."""

from __future__ import annotations

import json
from typing import Any

import msgspec

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "model_context_window_exceeded",
    "pause_turn",
}
# kind of block -> the deltas it may have
DELTAS = {
    "text": {"text_delta": "text"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
    "redacted_thinking": {},
}


class Told(msgspec.Struct):
    """What a client of the stream has understood."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, str]] = []  # id, name, arguments
    signatures: list[str] = []
    stop: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    kinds: list[str] = []

    @property
    def arguments(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments or "{}")) for _, name, arguments in self.calls]


def events(stream: bytes) -> list[tuple[str, str]]:
    """(event, data) of every frame; comments are left out. Only the lines that we write are allowed."""
    assert stream == b"" or stream.endswith(b"\n\n"), stream[-80:]
    found = []
    for frame in stream.decode().split("\n\n")[:-1]:
        if frame.startswith(": "):
            assert "\n" not in frame
            continue
        name, data = "", None
        for line in frame.split("\n"):
            field, _, value = line.partition(": ")
            assert field in ("event", "data"), line
            if field == "event":
                assert not name
                assert data is None
                name = value
            else:
                assert data is None
                data = value
        assert data
        found.append((name, data))
    return found


def openai(stream: bytes, *, wants_usage: bool = False, legacy: bool = False, relayed: bool = False) -> Told:
    """Checks the chunk grammar and returns what was said. A `relayed` stream may begin as its vendor begins one."""
    told = Told()
    frames = events(stream)
    assert frames, "an empty stream"
    assert frames[-1] == ("", "[DONE]")
    chunks = []
    for name, data in frames[:-1]:
        assert name == ""
        chunks.append(json.loads(data))
    if "error" in chunks[-1]:
        told.error = chunks.pop()["error"]
        assert set(told.error) == {"message", "type", "param", "code"}
    if wants_usage and told.error is None and chunks[-1]["choices"] == []:
        told.usage = chunks.pop()["usage"]
        assert told.usage["total_tokens"] == told.usage["prompt_tokens"] + told.usage["completion_tokens"]
    for position, chunk in enumerate(chunks):
        _chunk(chunk, told, first=position == 0, wants_usage=wants_usage, relayed=relayed)
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) <= 1
    assert (told.stop is None) == (told.error is not None), "a finish reason, or an error, never both"
    if told.stop == "tool_calls":
        assert told.calls
        assert not legacy
    return told


def _chunk(chunk: dict[str, Any], told: Told, *, first: bool, wants_usage: bool, relayed: bool) -> None:
    assert chunk["object"] == "chat.completion.chunk"
    assert isinstance(chunk["id"], str)
    assert isinstance(chunk["created"], int)
    assert chunk.get("usage", "absent") == (None if wants_usage else "absent")
    (choice,) = chunk["choices"]
    assert choice["index"] == 0
    delta = choice["delta"]
    assert told.stop is None, "nothing follows the finish chunk"
    if first:
        assert relayed or delta == {"role": "assistant", "content": ""}
        assert delta.items() >= {"role": "assistant", "content": ""}.items()
        return
    assert "role" not in delta
    if choice["finish_reason"] is not None:
        assert delta == {}
        told.stop = choice["finish_reason"]
        assert told.stop in FINISH_REASONS
        return
    (kind,) = delta
    _openai_delta(kind, delta[kind], told)


def _openai_delta(kind: str, value: Any, told: Told) -> None:
    if kind in ("content", "refusal"):
        assert value
        told.text += value
    elif kind == "reasoning_content":
        assert value
        told.thinking += value
    elif kind == "reasoning_details":
        (detail,) = value
        told.signatures.append(detail.get("signature") or detail["data"])
    elif kind == "tool_calls":
        (call,) = value
        function = call["function"]
        if call["index"] == len(told.calls):
            assert set(call) == {"index", "id", "type", "function"}
            assert call["type"] == "function"
            assert call["id"]
            assert function["name"]
            told.calls.append((call["id"], function["name"], function["arguments"]))
        else:
            assert call["index"] == len(told.calls) - 1, "calls come one after another"
            assert set(call) == {"index", "function"}
            assert set(function) == {"arguments"}
            identity, name, arguments = told.calls[-1]
            told.calls[-1] = (identity, name, arguments + function["arguments"])
    else:
        assert kind == "function_call", kind
        if "name" in value:
            assert not told.calls
            told.calls.append(("", value["name"], value["arguments"]))
        else:
            told.calls[-1] = ("", told.calls[-1][1], told.calls[-1][2] + value["arguments"])


def anthropic(stream: bytes) -> Told:
    """Checks the event grammar and returns what was said."""
    told = Told()
    frames = [(name, json.loads(data)) for name, data in events(stream)]
    assert frames, "an empty stream"
    for name, data in frames:
        assert data["type"] == name
    frames = [frame for frame in frames if frame[0] != "ping"]
    _start(frames.pop(0))
    if frames and frames[-1][0] == "error":
        told.error = frames.pop()[1]["error"]
        assert set(told.error) == {"type", "message"}
        _blocks(frames, told, cut=True)
        return told
    assert frames.pop() == ("message_stop", {"type": "message_stop"})
    name, last = frames.pop()
    assert name == "message_delta"
    told.stop = last["delta"]["stop_reason"]
    assert told.stop in STOP_REASONS
    told.usage = last["usage"]
    assert isinstance(told.usage["output_tokens"], int)
    _blocks(frames, told, cut=False)
    if told.stop == "tool_use":
        assert told.calls
    return told


def _start(frame: tuple[str, dict[str, Any]]) -> None:
    assert frame[0] == "message_start"
    message = frame[1]["message"]
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["content"] == []
    assert message["stop_reason"] is None
    assert isinstance(message["usage"]["input_tokens"], int)


def _blocks(frames: list[tuple[str, dict[str, Any]]], told: Told, *, cut: bool) -> None:
    """Indices 0, 1, 2 …; one block open at a time; deltas only of the block's kind."""
    index, kind = -1, None
    for name, data in frames:
        if name == "content_block_start":
            assert kind is None, "two blocks open"
            index += 1
            assert data["index"] == index
            kind = _open(data["content_block"], told)
        elif name == "content_block_delta":
            assert kind is not None
            assert data["index"] == index
            _anthropic_delta(kind, data["delta"], told)
        else:
            assert name == "content_block_stop", name
            assert kind is not None
            assert data["index"] == index
            kind = None
    assert cut or kind is None, "a block was left open"


def _open(block: dict[str, Any], told: Told) -> str:
    kind = block["type"]
    told.kinds.append(kind)
    if kind == "text":
        assert block == {"type": "text", "text": ""}
    elif kind == "thinking":
        assert block == {"type": "thinking", "thinking": "", "signature": ""}
    elif kind == "tool_use":
        assert set(block) == {"type", "id", "name", "input"}
        assert block["input"] == {}
        assert block["id"]
        assert block["name"]
        told.calls.append((block["id"], block["name"], ""))
    else:
        assert kind == "redacted_thinking", kind
        told.signatures.append(block["data"])
    return kind


def _anthropic_delta(kind: str, delta: dict[str, Any], told: Told) -> None:
    field = DELTAS[kind][delta["type"]]
    value = delta[field]
    assert isinstance(value, str)
    if field == "text":
        told.text += value
    elif field == "thinking":
        told.thinking += value
    elif field == "signature":
        assert value
        told.signatures.append(value)
    else:
        identity, name, arguments = told.calls[-1]
        told.calls[-1] = (identity, name, arguments + value)
