"""What the ledger is told of a translation: which documented fields were lost, and none of the caller's words."""

from __future__ import annotations

import json

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target

HELLO = [{"role": "user", "content": "hi"}]


def notes(client: str, upstream: str, *, capabilities=(), **fields: object) -> tuple[str, ...]:
    asked = {"model": "m", "max_tokens": 9, "messages": HELLO, **fields}
    call = registry.CLIENTS[client].read_request(json.dumps(asked).encode())
    target = Target(protocol=upstream, model="m", max_output_tokens=9, capabilities=frozenset(capabilities))
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
