"""Callers of every dialect, and a strict reader of what each gets."""

from __future__ import annotations

import json
from typing import Any

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from tests.domain import grammar, responses_grammar
from tests.domain.grammar import Told
from tests.fidelity import calls

CLIENTS = ("anthropic_messages", "openai_chat", "openai_responses", "openai_completions", "prompt")
UPSTREAMS = (
    *("anthropic_messages", "openai_chat", "openai_responses"),
    *("bedrock_invoke", "bedrock_converse", "ollama_chat"),
)
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS]
RELAYED = [pair for pair in PAIRS if pair in registry.DIALECTS]


def opened(client: str, upstream: str, *, stream: bool = True) -> Exchange:
    call = registry.CLIENTS[client].read_request(calls.body(client, model="m", stream=stream))
    target = Target(protocol=upstream, model="anthropic.claude-up", max_output_tokens=1000, context_tokens=9000)
    return exchange.open(call, target, request_id="req_1", created=1)


def fed(client: str, upstream: str, pieces: list[bytes]) -> tuple[Exchange, bytes]:
    running = opened(client, upstream)
    return running, b"".join(map(running.feed, pieces)) + running.close()


def read(client: str, stream: bytes) -> Told:
    """What a caller has understood of a stream, whose grammar is checked."""
    match client:
        case "anthropic_messages":
            return grammar.anthropic(stream)
        case "openai_chat":
            return grammar.openai(stream, wants_usage=True)
        case "openai_responses":
            return responses_grammar.responses(stream)
        case "openai_completions":
            return _completions(stream)
    return _prompt(stream)


def _completions(stream: bytes) -> Told:
    told = Told()
    named = grammar.events(stream)
    assert named[-1] == ("", "[DONE]")
    chunks = _datas(named[:-1])
    if "error" in chunks[-1]:
        told.error = chunks.pop()["error"]
    elif chunks[-1]["choices"] == []:
        told.usage = chunks.pop()["usage"]
    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}) <= 1
    for chunk in chunks:
        assert told.stop is None, "nothing follows the end"
        (choice,) = chunk["choices"]
        assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
        told.text += choice["text"]
        told.stop = choice["finish_reason"]
    assert (told.stop is None) == (told.error is not None)
    return told


def _prompt(stream: bytes) -> Told:
    told = Told()
    *begun, last = _datas(grammar.events(stream))
    for data in begun:
        assert set(data) == {"text"}
        told.text += data["text"]
    if "error" in last:
        told.error = last["error"]
    else:
        assert set(last) == {"model", "stop_reason", "usage"}
        told.stop, told.usage = last["stop_reason"], last["usage"]
    return told


def _datas(named: list[tuple[str, str]]) -> list[dict[str, Any]]:
    assert all(name == "" for name, _ in named)
    return [json.loads(data) for _, data in named]
