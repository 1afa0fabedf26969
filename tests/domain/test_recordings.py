"""Real traffic of real providers, replayed where it lies: `WEIR_RECORDINGS`, or `../shared/recordings`.

Relayed, an answer arrives byte for byte. Translated, it keeps the other dialect's grammar, says what the recording
says, and counts the same tokens. The recordings are no part of this repository; without them this file skips.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Exchange, Target
from apps.domain.tokens import NOTHING, TokenUsage
from tests.domain import grammar

ROOT = Path(os.environ.get("WEIR_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
PROTOCOLS = {"anthropic": ANTHROPIC, "openai_chat": OPENAI}
OTHER = {ANTHROPIC: OPENAI, OPENAI: ANTHROPIC}
ASK: dict[str, dict[str, Any]] = {
    ANTHROPIC: {"model": "claude-test", "max_tokens": 100},
    OPENAI: {"model": "gpt-test", "stream_options": {"include_usage": True}},
}
SPLITS = 12
ABSENT = "the recorded provider traffic is absent: neither WEIR_RECORDINGS nor ../shared/recordings holds any"


class Recording(msgspec.Struct):
    id: str
    dialect: str
    stream: bool
    request: dict[str, Any]
    response: dict[str, Any]
    tags: list[str] = []

    @property
    def protocol(self) -> str:
        return PROTOCOLS[self.dialect]

    @property
    def body(self) -> bytes:
        return self.response["body_text"].encode()

    @property
    def status(self) -> int:
        return self.response["status"]


class Said(msgspec.Struct):
    """What the vendor's own JSON says, read without the code under test."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = []
    usage: dict[str, Any] = {}
    error: bool = False
    finish: str = ""


def recordings(*, stream: bool | None = None, error: bool = False) -> list[Any]:
    """Parameters: one recording each, or one that says why there is none."""
    found = []
    for folder in PROTOCOLS:
        for path in sorted((ROOT / folder).glob("*.json")):
            recording = msgspec.json.decode(path.read_bytes(), type=Recording)
            counting = "count_tokens" in recording.request["path"]
            if not counting and stream in (None, recording.stream) and error == (recording.status != 200):
                found.append(pytest.param(recording, id=path.stem))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


def calling(protocol: str, *, stream: bool) -> ClientCall:
    body = ASK[protocol] | {"stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    if not stream:
        body.pop("stream_options", None)
    return registry.CLIENTS[protocol].read_request(json.dumps(body).encode())


def opened(recording: Recording, *, client: str) -> Exchange:
    target = Target(protocol=recording.protocol, model="up", max_output_tokens=1000)
    return exchange.open(calling(client, stream=recording.stream), target, request_id="req_1", created=1)


def pieces(body: bytes, dice: random.Random) -> list[bytes]:
    found = []
    while body:
        size = dice.choice((1, 2, 5, 50, 500, 5000)) + dice.randrange(20)
        found.append(body[:size])
        body = body[size:]
    return found


def datas(body: bytes) -> list[dict[str, Any]]:
    lines = [line[5:].strip() for line in body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def said(recording: Recording) -> Said:
    if recording.protocol == ANTHROPIC:
        return _anthropic_stream(recording) if recording.stream else _anthropic_answer(json.loads(recording.body))
    if not recording.stream:
        answer = json.loads(recording.body)
        choice = answer["choices"][0]
        found = Said(usage=answer.get("usage") or {}, finish=choice["finish_reason"])
        _openai_message(choice["message"], found)
        return found
    return _openai_stream(recording)


def _openai_message(message: dict[str, Any], found: Said) -> None:
    found.text += (message.get("content") or "") + (message.get("refusal") or "")
    found.thinking += message.get("reasoning_content") or message.get("reasoning") or ""
    for call in message.get("tool_calls") or ():
        found.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))


def _openai_stream(recording: Recording) -> Said:
    found = Said()
    calls: dict[int, list[str]] = {}
    for chunk in datas(recording.body):
        found.usage = chunk.get("usage") or found.usage
        found.error = found.error or bool(chunk.get("error"))
        for choice in chunk["choices"]:
            delta = dict(choice["delta"])
            for call in delta.pop("tool_calls", None) or ():
                made = calls.setdefault(call["index"], ["", ""])
                made[0] += call["function"].get("name") or ""
                made[1] += call["function"].get("arguments") or ""
            _openai_message(delta, found)
            found.finish = choice.get("finish_reason") or found.finish
    found.calls = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return found


def _anthropic_answer(answer: dict[str, Any]) -> Said:
    found = Said(usage=answer["usage"], finish=answer["stop_reason"])
    for block in answer["content"]:
        found.text += block.get("text", "") if block["type"] == "text" else ""
        found.thinking += block.get("thinking", "")
        if block["type"] == "tool_use":
            found.calls.append((block["name"], block["input"]))
    return found


def _anthropic_stream(recording: Recording) -> Said:
    found = Said()
    blocks: dict[int, dict[str, Any]] = {}
    for event in datas(recording.body):
        if event["type"] == "message_start":
            found.usage = event["message"]["usage"]
        elif event["type"] == "content_block_start":
            blocks[event["index"]] = event["content_block"] | {"json": ""}
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            found.text += delta.get("text", "")
            found.thinking += delta.get("thinking", "")
            blocks[event["index"]]["json"] += delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            found.usage = found.usage | event["usage"]
            found.finish = event["delta"]["stop_reason"]
    found.calls = [(b["name"], json.loads(b["json"] or "{}")) for b in blocks.values() if b["type"] == "tool_use"]
    return found


def counted(recording: Recording, usage: dict[str, Any]) -> TokenUsage | None:
    """The five counters by plain arithmetic."""
    if not usage:
        return None
    if recording.protocol == ANTHROPIC:
        hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens", 0)
        return TokenUsage(
            in_fresh=usage["input_tokens"],
            in_cache_read=usage.get("cache_read_input_tokens", 0),
            in_cache_write_5m=usage.get("cache_creation_input_tokens", 0) - hour,
            in_cache_write_1h=hour,
            out_total=usage["output_tokens"],
            out_reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
        )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    return TokenUsage(
        in_fresh=usage["prompt_tokens"] - cached,
        in_cache_read=cached,
        out_total=usage["completion_tokens"],
        out_reasoning=min(reasoning, usage["completion_tokens"]),
    )


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(2**32))
    print(f"WEIR_SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_a_relayed_stream_is_the_same_bytes_however_they_come(recording, dice):
    for _ in range(SPLITS):
        relay = opened(recording, client=recording.protocol)
        sent = b"".join(map(relay.feed, pieces(recording.body, dice))) + relay.close()
        assert sent == recording.body
        told = said(recording)
        assert relay.seen.usage == counted(recording, told.usage)
        assert (relay.seen.error is not None) == told.error
        assert relay.seen.started
        assert relay.seen.finished != told.error


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_a_relayed_answer_is_the_same_bytes(recording):
    relay = opened(recording, client=recording.protocol)
    assert relay.answer(recording.body) == recording.body
    assert relay.seen.usage == counted(recording, said(recording).usage)


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_a_translated_stream_keeps_the_grammar_and_says_the_same(recording, dice):
    expected = said(recording)
    client = OTHER[recording.protocol]
    first = b""
    for _ in range(SPLITS):
        translated = opened(recording, client=client)
        sent = b"".join(map(translated.feed, pieces(recording.body, dice))) + translated.close()
        assert sent == (first or sent), "the split shows"
        first = sent
        assert translated.seen.usage == counted(recording, expected.usage)
    told = grammar.openai(first, wants_usage=True) if client == OPENAI else grammar.anthropic(first)
    assert (told.text, told.thinking, told.arguments) == (expected.text, expected.thinking, expected.calls)
    assert (told.error is not None) == expected.error
    if not expected.error:
        tools = "tool_calls" if client == OPENAI else "tool_use"
        assert (told.stop == tools) == bool(expected.calls)
        _check_usage(client, told.usage, translated.seen.usage)


def _check_usage(client: str, written: dict[str, Any] | None, seen: TokenUsage | None) -> None:
    if seen is None:
        return  # the vendor gave none; what a client is told then is an estimate
    assert written is not None
    if client == OPENAI:
        assert written["total_tokens"] == seen.total
        assert written["prompt_tokens_details"]["cached_tokens"] == seen.in_cache_read
    else:
        assert sum(written[f"{kind}input_tokens"] for kind in ("", "cache_creation_", "cache_read_")) == seen.in_total
        assert written["output_tokens"] == seen.out_total


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_a_translated_answer_says_the_same(recording):
    expected = said(recording)
    client = OTHER[recording.protocol]
    translated = opened(recording, client=client)
    written = json.loads(translated.answer(recording.body))
    if client == OPENAI:
        found = Said(usage=written["usage"])
        _openai_message(written["choices"][0]["message"], found)
    else:
        found = _anthropic_answer(written)
    assert (found.text, found.thinking, found.calls) == (expected.text, expected.thinking, expected.calls)
    _check_usage(client, found.usage, counted(recording, expected.usage))


@pytest.mark.parametrize("recording", recordings(stream=None))
def test_a_stream_and_a_whole_answer_are_read_alike(recording):
    """The events of one decoder, put together, are the other's answer."""
    if not recording.stream:
        answer = registry.UPSTREAMS[recording.protocol].read_response(recording.body)
        assert answer.usage == (counted(recording, said(recording).usage) or NOTHING)
        assert answer.id
        assert answer.model
        return
    events = registry.UPSTREAMS[recording.protocol].decoder().feed(recording.body)
    assert type(events[0]).__name__ == "Started"
    assert [type(event).__name__ in ("Finished", "Failed") for event in events].count(True) == 1
    assert type(events[-1]).__name__ == ("Failed" if said(recording).error else "Finished")


@pytest.mark.parametrize("recording", recordings(error=True))
def test_an_error_maps_to_both_dialects(recording):
    error = registry.UPSTREAMS[recording.protocol].read_error(recording.status, {}, recording.body)
    assert error.upstream_status == recording.status
    assert error.message in recording.response["body_text"].replace('\\"', '"')
    assert isinstance(error, errors.UpstreamRateLimited if recording.status == 429 else errors.UpstreamRefused)
    assert registry.CLIENTS[recording.protocol].write_error(error, request_id="r").body == recording.body
    error.body = None  # for a caller of the other dialect
    for protocol in (ANTHROPIC, OPENAI):
        shape = registry.CLIENTS[protocol].write_error(error, request_id="r")
        assert shape.status == recording.status
        inner = json.loads(shape.body)["error"]
        assert inner["message"] == error.message
        assert inner["type"]
        assert ("code" in inner) == (protocol == OPENAI)


@pytest.mark.parametrize("recording", recordings() + recordings(error=True))
def test_a_recorded_request_survives_the_way_to_the_other_dialect(recording):
    own, other = registry.CLIENTS[recording.protocol], OTHER[recording.protocol]
    body = recording.request["body"] | ({"model": "x"} if "model" not in recording.request["body"] else {})
    call = own.read_request(json.dumps(body).encode())
    assert call.model == body["model"]
    assert call.stream is (body.get("stream") is True)
    target = Target(protocol=other, model="claude-sonnet-4-6", max_output_tokens=4096)
    if call.choices > 1:
        with pytest.raises(errors.InvalidRequest, match="n"):
            own.to_chat(call)
        return
    translated = registry.UPSTREAMS[other].write_request(own.to_chat(call), target)
    again = registry.CLIENTS[other].read_request(translated)
    assert again.stream == call.stream
    assert _words(registry.CLIENTS[other].to_chat(again)) == _words(own.to_chat(call))
    relayed = exchange.open(call, Target(protocol=recording.protocol, model="up", max_output_tokens=9)).body
    assert json.loads(relayed) == json.loads(relayed) | {
        k: v for k, v in body.items() if k not in ("model", "stream_options")
    }


def _words(chat: Any) -> list[str]:
    """Every text, call and result of a conversation, whichever turn it is in."""
    blocks = [*chat.system, *(block for message in chat.messages for block in message.content)]
    found = []
    for block in blocks:
        if type(block).__name__ == "Text":
            found += [line for line in block.text.split("\n") if line.strip()]
        elif type(block).__name__ == "Document" and block.source.kind == "text":
            found += [line for line in block.source.value.split("\n") if line.strip()]
        elif type(block).__name__ == "ToolUse":
            found.append(f"{block.name} {json.dumps(json.loads(block.arguments or '{}'), sort_keys=True)}")
        elif type(block).__name__ == "ToolResult":
            found += [line for part in block.content if hasattr(part, "text") for line in part.text.split("\n")]
    return found
