"""What a provider leaves out of an answer and its callers need: ids, and counts of tokens."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from apps.domain.chat import ToolUse
from apps.domain.events import BlockStarted, BlockStopped, Finished, Started
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, ClientFormat, Exchange, Target

ANTHROPIC, CHAT, RESPONSES, COMPLETIONS = "anthropic_messages", "openai_chat", "openai_responses", "openai_completions"
ASKED: dict[str, dict[str, Any]] = {
    ANTHROPIC: {"max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]},
    CHAT: {"messages": [{"role": "user", "content": "hello"}]},
    RESPONSES: {"input": "hello"},
    COMPLETIONS: {"prompt": "hello"},
}
# Two calls and no ids, as a careless server might have them.
CALLS: dict[str, dict[str, Any]] = {
    ANTHROPIC: {
        "type": "message",
        "content": [{"type": "tool_use", "id": "", "name": "f", "input": {}}] * 2,
        "stop_reason": "tool_use",
    },
    CHAT: {
        "choices": [
            {
                "message": {"tool_calls": [{"id": "", "function": {"name": "f", "arguments": "{}"}}] * 2},
                "finish_reason": "tool_calls",
            }
        ]
    },
    RESPONSES: {"status": "completed", "output": [{"type": "function_call", "name": "f", "arguments": "{}"}] * 2},
    "bedrock_converse": {
        "output": {"message": {"content": [{"toolUse": {"toolUseId": "", "name": "f", "input": {}}}] * 2}},
        "stopReason": "tool_use",
    },
    "ollama_chat": {
        "message": {"tool_calls": [{"function": {"name": "f", "arguments": {}}}] * 2},
        "done": True,
        "done_reason": "stop",
    },
}
SAID = b'{"output":{"message":{"content":[{"text":"12345678"}]}},"stopReason":"end_turn"}'


def call(client: str, **fields: Any) -> ClientCall:
    return registry.CLIENTS[client].read_request(json.dumps({"model": "m"} | ASKED[client] | fields).encode())


def opened(client: str, upstream: str, *, request_id: str = "req_1") -> Exchange:
    target = Target(protocol=upstream, model="up", max_output_tokens=4096)
    return exchange.open(call(client), target, request_id=request_id, created=1)


def ids_of_calls(client: str, answer: dict[str, Any]) -> list[str]:
    if client == ANTHROPIC:
        return [block["id"] for block in answer["content"]]
    if client == CHAT:
        return [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]]
    return [item["call_id"] for item in answer["output"]]


@pytest.mark.parametrize(
    ("client", "upstream"),
    [pair for pair in itertools.product((ANTHROPIC, CHAT, RESPONSES), CALLS) if pair not in registry.DIALECTS],
)
def test_calls_without_ids_get_some_of_their_own(client, upstream):
    answer = json.loads(opened(client, upstream).answer(json.dumps(CALLS[upstream]).encode()))
    ids = ids_of_calls(client, answer)
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize("client", [ANTHROPIC, CHAT, RESPONSES])
def test_calls_without_ids_get_some_in_a_stream_too(client):
    format = registry.CLIENTS[client]
    assert isinstance(format, ClientFormat)
    encoder = format.encoder(call=call(client, stream=True), created=1)
    encoder.encode(Started("", "m"))
    calls = [event for at in (0, 1) for event in (BlockStarted(at, ToolUse("", "f", "")), BlockStopped(at))]
    stream = b"".join(map(encoder.encode, [*calls, Finished("tool_use")])).decode()
    assert '"id":""' not in stream
    assert '"call_id":""' not in stream


@pytest.mark.parametrize("client", ASKED)
def test_answers_without_an_id_are_told_apart_by_that_of_the_call(client):
    first, second = (
        json.loads(opened(client, "bedrock_converse", request_id=name).answer(SAID))["id"]
        for name in ("req_1", "req_2")
    )
    assert first != second


@pytest.mark.parametrize("client", ASKED)
def test_usage_that_nobody_told_is_estimated_for_the_caller_and_not_for_the_books(client):
    running = opened(client, "bedrock_converse")
    usage = json.loads(running.answer(SAID))["usage"]
    assert usage.get("prompt_tokens") or usage.get("input_tokens")
    assert (usage.get("completion_tokens") or usage.get("output_tokens")) == 2
    assert running.seen.usage is None
