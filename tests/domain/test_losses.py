"""What the ledger is told of a translation: which documented fields were lost, and none of the caller's words."""

from __future__ import annotations

import json

import pytest

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target

HELLO = [{"role": "user", "content": "hi"}]


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OMITTED = {"type": "adaptive", "display": "omitted"}


def notes(client: str, upstream: str, *, capabilities=(), quirks=(), model="m", **fields: object) -> tuple[str, ...]:
    asked = {"model": "m", "max_tokens": 9, "messages": HELLO, **fields}
    call = registry.CLIENTS[client].read_request(json.dumps(asked).encode())
    target = Target(
        protocol=upstream,
        model=model,
        max_output_tokens=9,
        capabilities=frozenset(capabilities),
        quirks=frozenset(quirks),
    )
    return exchange.open(call, target).notes


def test_what_is_relayed_has_nothing_to_tell():
    for name in ("anthropic_messages", "openai_chat"):
        assert notes(name, name, top_p=0.5) == ()


def test_what_loses_nothing_says_only_that_it_was_translated():
    assert notes("anthropic_messages", "openai_chat", temperature=0.5) == (
        "translated anthropic_messages -> openai_chat",
    )
    assert notes("openai_chat", "openai_chat", seed=1) == ()


def test_lost_fields_are_named():
    assert notes("anthropic_messages", "openai_chat", top_k=5, service_tier="standard_only")[1:] == (
        "dropped: service_tier, top_k",
    )
    assert notes("openai_chat", "anthropic_messages", seed=1, store=True, logit_bias={}, top_p=0.1)[1:] == (
        "dropped: logit_bias, seed, store",
    )


def test_sampling_that_a_model_refuses_is_named():
    told = notes("anthropic_messages", "openai_chat", capabilities=("no_sampling",), temperature=0.5)
    assert told[1:] == ("dropped: temperature",)


def test_names_that_no_vendor_documents_are_counted_only():
    told = notes("anthropic_messages", "openai_chat", my_secret_plan=1, service_tier="standard_only", another="x")
    assert told[1:] == ("dropped: service_tier, 2 unknown",)


def test_tools_that_only_the_callers_vendor_runs_are_told():
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert (
        notes("anthropic_messages", "openai_chat", tools=[search])[-1] == "dropped: tools that the caller's vendor runs"
    )


@pytest.mark.parametrize(
    ("upstream", "options", "lost"),
    [
        ("openai_chat", {}, ("dropped: thinking.display",)),
        ("openai_chat", {"quirks": ["openai_fields"]}, ()),
        ("openai_chat", {"capabilities": ["tools"]}, ("dropped: thinking",)),
        ("openai_responses", {}, ()),
        ("ollama_chat", {}, ("dropped: thinking.display",)),
        ("ollama_chat", {"capabilities": ["tools"]}, ()),
        ("bedrock_converse", {"model": "anthropic.claude-opus-4-6-v1"}, ()),
        ("bedrock_converse", {"model": "anthropic.claude-opus-4-8"}, ()),
    ],
)
def test_thinking_that_is_shown_though_it_was_not_to_be_is_named(upstream, options, lost):
    assert notes("anthropic_messages", upstream, thinking=OMITTED, **options)[1:] == lost


@pytest.mark.parametrize(
    ("client", "upstream", "asked", "lost"),
    [
        ("openai_chat", "anthropic_messages", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("openai_chat", "bedrock_converse", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("openai_chat", "ollama_chat", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("anthropic_messages", "openai_chat", {"thinking": {"type": "disabled"}}, "thinking"),
    ],
)
def test_a_model_that_thinks_nevertheless_is_named_by_the_wish(client, upstream, asked, lost):
    always = ("adaptive_thinking", "always_thinking")
    assert notes(client, upstream, capabilities=always, **asked)[1:] == (f"dropped: {lost}",)
    assert notes(client, upstream, capabilities=always[:1], **asked)[1:] == ()


@pytest.mark.parametrize("upstream", ["openai_chat", "openai_responses", "bedrock_converse", "ollama_chat"])
def test_an_effort_beside_thinking_that_is_off_is_named(upstream):
    asked = {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}
    assert notes("anthropic_messages", upstream, **asked)[1:] == ("dropped: output_config.effort",)


def test_one_call_at_a_time_is_no_loss_where_nothing_may_be_called():
    one = {"parallel_tool_calls": False}
    assert notes("openai_chat", "ollama_chat", **one)[1:] == ()
    assert notes("openai_chat", "ollama_chat", **one, tools=[TOOL], tool_choice="none")[1:] == ()
    assert notes("openai_chat", "ollama_chat", **one, tools=[TOOL])[1:] == ("dropped: parallel_tool_calls",)
