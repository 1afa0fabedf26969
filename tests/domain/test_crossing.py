"""Every field that a dialect documents crosses into another, or is named in the trail, or is refused by its name.

The fields are those of the official SDKs, so that a new one fails here until somebody has decided about it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_create_params as messages
from anthropic.types.beta import message_create_params as beta_messages
from openai.types import completion_create_params as completions
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

from apps.domain.errors import InvalidRequest
from apps.domain.protocols import exchange, losses, registry
from apps.domain.protocols.contract import Target
from apps.domain.providers.openai import VENDOR
from tests.domain import responses_calls

HELLO = [{"role": "user", "content": "Answer in JSON."}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
FUNCTION = {"name": "f", "parameters": SCHEMA}
ASKED: dict[str, dict[str, Any]] = {
    "anthropic_messages": {"max_tokens": 3000, "messages": HELLO},
    "openai_chat": {"messages": HELLO},
    "openai_responses": {"input": "Answer in JSON."},
    "openai_completions": {"prompt": "Answer in JSON."},
}
DOCUMENTED = {
    "anthropic_messages": {
        *messages.MessageCreateParamsBase.__annotations__,
        *beta_messages.MessageCreateParamsBase.__annotations__,
    },
    "openai_chat": {*chat.CompletionCreateParamsBase.__annotations__},
    "openai_responses": {*responses.ResponseCreateParamsBase.__annotations__},
    "openai_completions": {*completions.CompletionCreateParamsBase.__annotations__},
}
# What a call says anyway, and what is no field of the body.
SAID = {"model", "messages", "input", "prompt", "betas"}
ANTHROPICS = [{"name": "f", "input_schema": SCHEMA}]
CHATS = [{"type": "function", "function": FUNCTION}]
OWN = [{"type": "function", **FUNCTION}]
TEXTS = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"}
# By dialect and field: what is sent, besides the field's own value a whole that it is sent with.
VALUES: dict[str, dict[str, Any]] = {
    "anthropic_messages": {
        "max_tokens": 77,
        "metadata": {"user_id": "ann", "other": "x"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        "stop_sequences": ["END"],
        "system": "Be brief.",
        "temperature": 0.25,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "tools": ANTHROPICS,
        "top_k": 7,
        "top_p": 0.5,
        "stream": True,
    },
    "openai_chat": {
        "audio": {"voice": "ash", "format": "wav"},
        "frequency_penalty": 0.5,
        "function_call": "none",
        "functions": [FUNCTION],
        "logprobs": True,
        "max_completion_tokens": 77,
        "max_tokens": 77,
        "metadata": {"k": "v"},
        "modalities": ["audio"],
        "n": 2,
        "parallel_tool_calls": False,
        "presence_penalty": 0.5,
        "prompt_cache_key": "cache-1",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "safety_identifier": "ann",
        "seed": 5,
        "service_tier": "flex",
        "stop": "END",
        "stream_options": {"include_usage": True, "include_obfuscation": True},
        "temperature": 0.25,
        "tool_choice": "required",
        "tools": CHATS,
        "top_logprobs": 3,
        "top_p": 0.5,
        "user": "ann",
        "verbosity": "low",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
    },
    "openai_responses": {
        "background": True,
        "conversation": "conv_1",
        "include": ["message.output_text.logprobs", "web_search_call.results"],
        "instructions": "Be brief.",
        "max_output_tokens": 77,
        "metadata": {"k": "v"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_1",
        "prompt_cache_key": "cache-1",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "reasoning": {"effort": "low", "summary": "auto", "context": "auto"},
        "safety_identifier": "ann",
        "service_tier": "flex",
        "stream_options": {"include_obfuscation": True},
        "temperature": 0.25,
        "text": TEXTS,
        "tool_choice": "required",
        "tools": OWN,
        "top_logprobs": 3,
        "top_p": 0.5,
        "user": "ann",
    },
    "openai_completions": {
        "best_of": 2,
        "frequency_penalty": 0.5,
        "logprobs": 2,
        "max_tokens": 77,
        "n": 2,
        "presence_penalty": 0.5,
        "seed": 5,
        "stop": "END",
        "stream_options": {"include_usage": True, "include_obfuscation": True},
        "suffix": "x",
        "temperature": 0.25,
        "top_p": 0.5,
        "user": "ann",
        "logit_bias": {"5": 1},
    },
}
WITH: dict[str, dict[str, Any]] = {
    "anthropic_messages": {"tool_choice": {"tools": ANTHROPICS}},
    "openai_chat": {
        "tool_choice": {"tools": CHATS},
        "parallel_tool_calls": {"tools": CHATS},
        "function_call": {"functions": [FUNCTION]},
        "top_logprobs": {"logprobs": True},
        "stream_options": {"stream": True},
    },
    "openai_responses": {
        "tool_choice": {"tools": OWN},
        "parallel_tool_calls": {"tools": OWN},
        "top_logprobs": {"include": ["message.output_text.logprobs"]},
        "stream_options": {"stream": True},
    },
    "openai_completions": {"stream_options": {"stream": True}},
}
# Told in the answer itself, whoever gives it, or by the address that is asked.
ANSWERED = {
    ("anthropic_messages", "stream"),
    ("openai_completions", "echo"),
    ("openai_chat", "stream_options"),
    ("openai_completions", "stream_options"),
}
MODELS = {
    "anthropic_messages": "claude-opus-4-8",
    "openai_chat": "gpt-up",
    "openai_responses": "gpt-up",
    "bedrock_invoke": "anthropic.claude-opus-4-8-v1:0",
    "bedrock_converse": "amazon.nova-pro-v1:0",
    "ollama_chat": "up",
}
CASES = [
    (client, name, upstream)
    for client in ASKED
    for name in sorted(DOCUMENTED[client] - SAID | {*VALUES[client]})
    for upstream in MODELS
    if (client, upstream) not in registry.DIALECTS
]


def opened(client: str, upstream: str, **fields: Any) -> exchange.Exchange:
    body = json.dumps({"model": "m", **ASKED[client], **fields}).encode()
    target = Target(
        protocol=upstream,
        model=MODELS[upstream],
        max_output_tokens=4000,
        quirks=VENDOR.quirks if upstream.startswith("openai") else frozenset(),
    )
    return exchange.open(registry.CLIENTS[client].read_request(body), target)


def dropped(notes: tuple[str, ...]) -> set[str]:
    told = [note.removeprefix("dropped: ") for note in notes if note.startswith("dropped: ")]
    return {name for note in told for name in note.split(", ")}


@pytest.mark.parametrize(("client", "name", "upstream"), CASES)
def test_a_documented_field_crosses_or_is_told_of(client, name, upstream):
    value = VALUES[client].get(name, {"some": "thing"})
    beside = WITH[client].get(name, {})
    bare = opened(client, upstream, **beside)
    try:
        asked = opened(client, upstream, **{name: value}, **{k: v for k, v in beside.items() if k != name})
    except InvalidRequest as refused:
        told = f"{refused.param} {refused.message}"
        assert name in told or name.removesuffix("s") in told
        return
    lost = dropped(asked.notes) - dropped(bare.notes)
    if lost:
        assert {path.partition(".")[0] for path in lost} == {name}
        return
    assert (asked.body, asked.headers) != (bare.body, bare.headers) or (client, name) in ANSWERED


@pytest.mark.parametrize(
    ("client", "fields", "upstream", "body"),
    [
        ("openai_chat", {"logprobs": True}, "openai_responses", {"include": ["message.output_text.logprobs"]}),
        ("openai_chat", {"logprobs": True, "top_logprobs": 3}, "openai_responses", {"top_logprobs": 3}),
        ("openai_responses", {"include": ["message.output_text.logprobs"]}, "openai_chat", {"logprobs": True}),
        (
            "openai_responses",
            {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
            "openai_chat",
            {"logprobs": True, "top_logprobs": 3},
        ),
        ("openai_chat", {"verbosity": "low"}, "openai_responses", {"text": {"verbosity": "low"}}),
        ("openai_responses", {"text": {"verbosity": "low"}}, "openai_chat", {"verbosity": "low"}),
        *(
            (client, {name: value}, upstream, {name: value})
            for client, upstream in (("openai_chat", "openai_responses"), ("openai_responses", "openai_chat"))
            for name, value in (
                ("prompt_cache_key", "k"),
                ("prompt_cache_retention", "24h"),
                ("prompt_cache_options", {"mode": "explicit"}),
                ("service_tier", "flex"),
                ("safety_identifier", "ann"),
            )
        ),
        ("openai_chat", {"metadata": {"k": "v"}}, "openai_responses", {"metadata": {"k": "v"}}),
        ("openai_chat", {"user": "ann"}, "openai_responses", {"safety_identifier": "ann"}),
        ("openai_chat", {"user": "ann"}, "anthropic_messages", {"metadata": {"user_id": "ann"}}),
        ("anthropic_messages", {"metadata": {"user_id": "ann"}}, "openai_chat", {"safety_identifier": "ann"}),
        ("anthropic_messages", {"metadata": {"user_id": "ann"}}, "openai_responses", {"safety_identifier": "ann"}),
        ("openai_completions", {"logit_bias": {"5": 1}}, "openai_chat", {"logit_bias": {"5": 1}}),
    ],
)
def test_what_both_dialects_have_crosses_under_its_name_there(client, fields, upstream, body):
    asked = opened(client, upstream, **fields)
    sent = json.loads(asked.body)
    assert {name: sent.get(name) for name in body} == body
    assert dropped(asked.notes) == set()


@pytest.mark.parametrize(
    ("client", "fields", "upstream", "lost"),
    [
        ("openai_responses", {"metadata": {"k": "v"}}, "openai_chat", {"metadata"}),
        ("openai_responses", {"top_logprobs": 3}, "openai_chat", {"top_logprobs"}),
        ("openai_chat", {"logprobs": True, "top_logprobs": 3}, "anthropic_messages", {"logprobs", "top_logprobs"}),
        ("openai_responses", {"text": {"verbosity": "low"}}, "anthropic_messages", {"text.verbosity"}),
        ("openai_chat", {"temperature": 0.5, "top_p": 0.5}, "anthropic_messages", {"temperature", "top_p"}),
        ("openai_chat", {"stop": " "}, "anthropic_messages", {"stop"}),
        ("anthropic_messages", {"metadata": {"user_id": "ann"}}, "ollama_chat", {"metadata.user_id"}),
        ("openai_chat", {"store": True, "user": "ann"}, "ollama_chat", {"store", "user"}),
        (
            "openai_responses",
            {"mine": 1, "client_metadata": {}},
            "anthropic_messages",
            {"client_metadata", "1 unknown"},
        ),
    ],
)
def test_what_is_lost_is_named_as_the_caller_calls_it(client, fields, upstream, lost):
    assert dropped(opened(client, upstream, **fields).notes) == lost


@pytest.mark.parametrize("upstream", ["anthropic_messages", "openai_chat", "ollama_chat"])
def test_what_says_no_more_than_silence_is_not_lost(upstream):
    quiet = {"store": False, "background": False, "include": ["reasoning.encrypted_content"], "metadata": None}
    plain = {"tool_choice": "auto", "tools": OWN, "parallel_tool_calls": True, "top_p": 1, "prompt_cache_key": None}
    asked = opened("openai_responses", upstream, **quiet, **plain, reasoning={"effort": "none", "summary": None})
    assert dropped(asked.notes) == set()


def test_no_dialects_name_of_a_field_is_taken_for_the_callers_own_word():
    carried = {"model", "messages", "system", "tools", "max_tokens", "stream"}
    for client in ASKED:
        words = registry.CLIENTS[client].words
        paths = {path for field in words.keys() - carried for path in words[field]}
        assert paths - {"thinking"} <= losses.DOCUMENTED, client


def test_what_only_openai_takes_goes_to_no_other_vendor():
    fields = {"verbosity": "low", "prompt_cache_key": "k", "service_tier": "flex"}
    call = registry.CLIENTS["openai_responses"].read_request(
        json.dumps({"model": "m", "input": "x", "text": {"verbosity": "low"}, **fields}).encode()
    )
    asked = exchange.open(call, Target(protocol="openai_chat", model="up", max_output_tokens=99))
    assert not json.loads(asked.body).keys() & fields.keys()
    assert dropped(asked.notes) == {"prompt_cache_key", "service_tier", "text.verbosity", "verbosity"}


def test_in_which_tier_an_answer_was_served_crosses_too():
    chosen = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
    answer = json.dumps({"id": "c", "choices": [chosen], "service_tier": "flex"}).encode()
    assert json.loads(opened("openai_responses", "openai_chat").answer(answer))["service_tier"] == "flex"
    answer = responses_calls.answer("completed", responses_calls.message("Hello"), service_tier="flex")
    assert json.loads(opened("openai_chat", "openai_responses").answer(answer))["service_tier"] == "flex"


def test_in_which_tier_a_stream_was_served_crosses_too():
    asked = opened("openai_chat", "openai_responses", stream=True)
    told = asked.feed(responses_calls.CREATED)
    told += asked.feed(responses_calls.completed(responses_calls.message("Hello"), service_tier="flex"))
    assert told.count(b'"service_tier":"flex"') == 1
    asked = opened("openai_responses", "openai_chat", stream=True)
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    told = asked.feed(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk | {"service_tier": "flex"}).encode())
    assert told.count(b'"service_tier":"flex"') == 1
