"""Real answers of real Bedrock models, replayed where they lie (see `test_recordings`)."""

from __future__ import annotations

import base64
import json
import os
import random
from struct import unpack_from
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from tests.domain import grammar
from tests.domain.test_recordings import ABSENT, ROOT, Recording, pieces

SPLITS = 12
INVOKE, CONVERSE, ANTHROPIC, OPENAI = "bedrock_invoke", "bedrock_converse", "anthropic_messages", "openai_chat"
METRICS = "amazon-bedrock-invocationMetrics"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def recordings(*folders: str, stream: bool | None = None, status: int = 200) -> list[Any]:
    """Of answers; parameters, or one that says why there is none."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.json")):
            recording = msgspec.json.decode(path.read_bytes(), type=Recording)
            if "count-tokens" in recording.request["path"] or recording.response["status"] != status:
                continue
            if stream in (None, recording.stream):
                found.append(pytest.param(recording, id=path.stem))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(2**32))
    print(f"WEIR_SEED={seed}")
    return random.Random(seed)


def opened(recording: Recording, client: str) -> Exchange:
    body: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
    body["stream"] = recording.stream
    if client == OPENAI and recording.stream:
        body["stream_options"] = {"include_usage": True}
    call = registry.CLIENTS[client].read_request(json.dumps(body).encode())
    return exchange.open(call, Target(protocol=recording.dialect, model=CLAUDE, max_output_tokens=1000), created=1)


def stream_of(recording: Recording) -> bytes:
    return base64.b64decode(recording.response["body_base64"])


def payloads(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and payloads of the messages, read without the code under test; names stand first in the headers."""
    found = []
    while stream:
        length, of_headers = unpack_from(">II", stream)
        headers = stream[12 : 12 + of_headers]
        size = unpack_from(">H", headers, 13)[0]  # behind `:event-type` and its value's type
        found.append((headers[15 : 15 + size].decode(), json.loads(stream[12 + of_headers : length - 4])))
        stream = stream[length:]
    return found


def native(stream: bytes) -> bytes:
    """What Anthropic would have sent: each event's own bytes, but for the metrics."""
    written = []
    for _, part in payloads(stream):
        data = base64.b64decode(part["bytes"])
        event = json.loads(data)
        if METRICS in event:
            data = data[: data.index(f',"{METRICS}"'.encode())] + b"}"
            del event[METRICS]
            assert json.loads(data) == event
        written.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))
    return b"".join(written)


@pytest.mark.parametrize("recording", recordings(INVOKE, stream=True))
def test_a_relayed_stream_is_anthropics_own_bytes_however_they_come(recording, dice):
    expected = native(stream_of(recording))
    for _ in range(SPLITS):
        relay = opened(recording, ANTHROPIC)
        assert b"".join(map(relay.feed, pieces(stream_of(recording), dice))) + relay.close() == expected
        assert relay.seen.finished
        assert relay.seen.error is None
    usage = [data["usage"] for data in map(json.loads, _datas(expected)) if "usage" in data][-1]
    assert relay.seen.usage is not None
    assert relay.seen.usage.out_total == usage["output_tokens"]


def _datas(frames: bytes) -> list[bytes]:
    return [line[6:] for line in frames.splitlines() if line.startswith(b"data: ") and line != b"data: [DONE]"]


@pytest.mark.parametrize("recording", recordings(INVOKE, stream=False))
def test_a_relayed_answer_is_the_same_bytes(recording):
    relay = opened(recording, ANTHROPIC)
    assert relay.answer(recording.body) == recording.body
    assert relay.seen.usage is not None
    assert relay.seen.usage.out_total == json.loads(recording.body)["usage"]["output_tokens"]
    headers = recording.response["headers"]
    assert relay.seen.usage.in_fresh == int(headers["x-amzn-bedrock-input-token-count"])
    assert relay.seen.usage.in_cache_write_5m == int(headers.get("x-amzn-bedrock-cache-write-input-token-count", 0))


def said(recording: Recording) -> tuple[str, str, list[tuple[str, Any]], dict[str, int]]:
    """Text, thinking, calls and usage of a Converse answer, by plain reading."""
    if not recording.stream:
        answer = json.loads(recording.body)
        blocks = answer["output"]["message"]["content"]
        text = "".join(block.get("text", "") for block in blocks)
        thoughts = [
            block["reasoningContent"].get("reasoningText", {}) for block in blocks if "reasoningContent" in block
        ]
        calls = [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if "toolUse" in block]
        return text, "".join(thought.get("text", "") for thought in thoughts), calls, answer["usage"]
    text = thinking = ""
    made: dict[int, list[str]] = {}
    usage: dict[str, int] = {}
    for name, data in payloads(stream_of(recording)):
        if name == "contentBlockStart":
            made[data["contentBlockIndex"]] = [data["start"]["toolUse"]["name"], ""]
        elif name == "contentBlockDelta":
            delta = data["delta"]
            text += delta.get("text", "")
            thinking += delta.get("reasoningContent", {}).get("text", "")
            if "toolUse" in delta:
                made[data["contentBlockIndex"]][1] += delta["toolUse"]["input"]
        elif name == "metadata":
            usage = data["usage"]
    return text, thinking, [(name, json.loads(arguments)) for name, arguments in made.values()], usage


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("recording", recordings(CONVERSE, INVOKE, stream=True))
def test_a_translated_stream_keeps_the_grammar_and_says_the_same(recording, client, dice):
    first = b""
    for _ in range(SPLITS):
        translated = opened(recording, client)
        sent = b"".join(map(translated.feed, pieces(stream_of(recording), dice))) + translated.close()
        assert sent == (first or sent), "the split shows"
        first = sent
    told = grammar.openai(first, wants_usage=True) if client == OPENAI else grammar.anthropic(first)
    assert told.error is None
    if recording.dialect == CONVERSE:
        text, thinking, calls, usage = said(recording)
        assert (told.text, told.thinking, told.arguments) == (text, thinking, calls)
        assert translated.seen.usage is not None
        assert translated.seen.usage.total == usage["totalTokens"]
        assert translated.seen.usage.out_total == usage["outputTokens"]
    else:
        theirs = grammar.anthropic(native(stream_of(recording)))
        assert (told.text, told.thinking, told.arguments) == (theirs.text, theirs.thinking, theirs.arguments)


@pytest.mark.parametrize("recording", recordings(CONVERSE, stream=False))
def test_a_translated_answer_says_the_same(recording):
    text, thinking, calls, usage = said(recording)
    told = json.loads(opened(recording, ANTHROPIC).answer(recording.body))
    assert "".join(block.get("text", "") for block in told["content"]) == text
    assert "".join(block.get("thinking", "") for block in told["content"]) == thinking
    assert [(b["name"], b["input"]) for b in told["content"] if b["type"] == "tool_use"] == calls
    assert told["usage"]["input_tokens"] == usage["inputTokens"]
    assert told["usage"]["cache_creation_input_tokens"] == usage["cacheWriteInputTokens"]
    assert told["usage"]["cache_read_input_tokens"] == usage["cacheReadInputTokens"]
    other = opened(recording, OPENAI)
    message = json.loads(other.answer(recording.body))["choices"][0]["message"]
    assert (message["content"] or "", message.get("reasoning_content") or "") == (text, thinking)
    assert other.seen.usage is not None
    assert other.seen.usage.total == usage["totalTokens"]


@pytest.mark.parametrize("recording", recordings(CONVERSE, stream=False))
def test_redacted_thinking_is_unwrapped_once(recording):
    """Anthropic's own data is base64 too, and begins like all of it."""
    told = json.loads(opened(recording, ANTHROPIC).answer(recording.body))
    found = [block["data"] for block in told["content"] if block["type"] == "redacted_thinking"]
    assert len(found) == ("redacted_thinking" in recording.tags)
    for data in found:
        assert data.startswith("E")
        assert base64.b64decode(data)


@pytest.mark.parametrize("recording", recordings(CONVERSE, INVOKE, status=400))
def test_an_unknown_model_is_not_found(recording):
    error = opened(recording, ANTHROPIC).refuse(400, {}, recording.body)
    assert isinstance(error, errors.UpstreamRefused)
    assert (error.status, error.kind, error.upstream_status) == (404, "not_found", 400)


@pytest.mark.parametrize("recording", recordings(INVOKE))
def test_a_recorded_request_is_sent_as_it_was_recorded(recording):
    """From the body that Anthropic's callers would have written for it."""
    theirs = recording.request["body"]
    written = {"model": "m"} | {name: value for name, value in theirs.items() if name != "anthropic_version"}
    call = registry.CLIENTS[ANTHROPIC].read_request(json.dumps(written).encode())
    sent = exchange.open(call, Target(protocol=INVOKE, model=CLAUDE, max_output_tokens=1000)).body
    assert json.loads(sent) == theirs


def test_a_recorded_count_is_asked_for_and_read():
    found = sorted((ROOT / INVOKE).glob("*count-tokens*.json"))
    if not found:
        pytest.skip(ABSENT)
    recording = msgspec.json.decode(found[0].read_bytes(), type=Recording)
    theirs = base64.b64decode(recording.request["body"]["input"]["invokeModel"]["body"])
    written = {"model": "m"} | {k: v for k, v in json.loads(theirs).items() if k != "anthropic_version"}
    call = registry.COUNTING.read_request(json.dumps(written).encode())
    counter = registry.COUNTERS[INVOKE]
    asked = counter.write(call, Target(protocol=INVOKE, model=CLAUDE, max_output_tokens=1000))
    assert json.loads(base64.b64decode(json.loads(asked)["input"]["invokeModel"]["body"])) == json.loads(theirs)
    assert counter.read(recording.body) == 18
