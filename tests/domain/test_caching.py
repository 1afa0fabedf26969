"""The same question has the same key, however it is written; whoever else asks, or is asked, has another one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from apps.domain import caching
from apps.domain.snapshot import (
    Caching,
    Cachings,
    Credential,
    DataPolicy,
    Deployment,
    Model,
    PriceCard,
    Principal,
    Provider,
    Secret,
    Snapshot,
)

NOW = 1_000
CHAT = "openai_chat"
CARD = PriceCard(version=1, effective_from=0, input=1, output=2, cache_read=0, cache_write_5m=0, cache_write_1h=0)
PROVIDER = Provider(id=1, name="a", vendor="openai", protocol=CHAT, base_url="https://a.example", host="a.example")
DEPLOYMENT = Deployment(id=1, provider=PROVIDER, upstream_model="gpt", prices=(CARD,))
MODEL = Model(id=1, name="gpt", display_name="GPT", deployments=(DEPLOYMENT,), max_output_tokens=9, context_tokens=99)
ALICE = Principal(key_id=1, public_id="a", tenant_id=1, project_id=1, user_id=1)
ASKED = {"model": "gpt", "temperature": 0, "messages": [{"role": "user", "content": "Grüße"}]}
CACHING = Caching(ttl=60)


class Call(msgspec.Struct, frozen=True):
    """All that a key is made of."""

    body: bytes = json.dumps(ASKED).encode()
    protocol: str = CHAT
    headers: dict[str, str] = {}
    model: Model = MODEL
    now: int = NOW
    principal: Principal = ALICE
    pinned_id: int = 0
    policy: DataPolicy | None = None
    cachings: Cachings = Cachings(models={1: CACHING})
    barred: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> bytes:
        return self.scope(None)

    def scope(self, figures: tuple[str, ...] | None) -> bytes:
        asked = caching.read(self.body)
        assert asked is not None
        snapshot = Snapshot(
            revision=1, compiled_at=0.0, models={"gpt": self.model}, tenants={}, projects={}, cachings=self.cachings
        )
        fields = msgspec.structs.asdict(self)
        del fields["body"], fields["cachings"]
        return caching.key(asked, configured=caching.identity(self.model), snapshot=snapshot, figures=figures, **fields)


def deployed(**changes: Any) -> Model:
    return replace(MODEL, deployments=(replace(DEPLOYMENT, **changes),))


def provided(**changes: Any) -> Model:
    return deployed(provider=replace(PROVIDER, **changes))


def bodied(**changes: Any) -> bytes:
    return json.dumps(ASKED | changes).encode()


DEARER = replace(CARD, version=2, input=5)
EU = DataPolicy(id=1, name="eu", regions=frozenset({"eu"}))
# Each makes it another call: none of them, nor any several of them, finds what was kept for another.
OTHERS: dict[str, list[Any]] = {
    "body": [bodied(temperature=1), bodied(max_tokens=5), bodied(model="other"), bodied(messages=[]), bodied(seed=1)],
    "protocol": ["anthropic_messages"],
    "headers": [{"anthropic-beta": "a"}, {"anthropic-version": "2"}],
    "model": [
        deployed(upstream_model="other"),
        deployed(prices=(DEARER,)),
        deployed(prices=(replace(CARD, input=7),)),
        deployed(prices=(CARD, replace(DEARER, effective_from=NOW + 1))),
        deployed(capabilities=frozenset({"tools"})),
        deployed(tenant_ids=frozenset({1})),
        provided(base_url="https://b.example"),
        provided(region="eu"),
        provided(tags=frozenset({"hipaa"})),
        provided(options={"version": "2"}),
        replace(MODEL, id=2),
        replace(MODEL, max_output_tokens=10),
        replace(MODEL, deployments=(DEPLOYMENT, replace(DEPLOYMENT, id=2))),
        replace(MODEL, deployments=()),
    ],
    "principal": [
        replace(ALICE, tenant_id=2),
        replace(ALICE, models=frozenset({"gpt"})),
        replace(ALICE, models=frozenset({"gpt", "other"})),
        replace(ALICE, endpoints=frozenset({"a"})),
    ],
    "pinned_id": [3],
    "barred": [(("gpt-spare", "not from this address"),)],
    "policy": [EU, replace(EU, name="other"), replace(EU, on_response={"card": "stop"})],
    "cachings": [
        Cachings(models={1: replace(CACHING, generation=1)}),
        Cachings(models={1: CACHING}, generations={1: 1}),
        Cachings(keys={1: CACHING}),
    ],
}
changes = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in OTHERS.items()})


@given(changes, changes)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_calls_share_a_key_only_if_nothing_distinguishes_them(first, second):
    one, other = Call(**first), Call(**second)
    assert (one.key == other.key) is (one == other)


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in OTHERS.items() for value in values])
def test_what_distinguishes_two_calls_gives_them_different_keys(field, value):
    assert Call().key != Call(**{field: value}).key


@pytest.mark.parametrize(
    "call",
    [
        Call(body=json.dumps(dict(reversed(ASKED.items())), indent=3).encode()),
        Call(body=json.dumps(ASKED, ensure_ascii=False).encode()),
        *(Call(body=json.dumps(ASKED).replace(": 0", f": {zero}").encode()) for zero in ("0.0", "0e7", "-0.0")),
        Call(body=bodied(stream=True, stream_options={"include_usage": True}, user="u", metadata={"a": "b"})),
        Call(model=deployed(priority=3, weight=7, max_concurrency=2, hedge_after=1.0)),
        Call(model=provided(healthy=False, credentials=(Credential(id=1, alias="a", secret=Secret("s", host="h")),))),
        Call(model=replace(MODEL, strategy="cheapest", display_name="Other")),
        Call(principal=replace(ALICE, key_id=2, project_id=2, user_id=2, priority=3, networks=("10.0.0.0/8",))),
        Call(cachings=Cachings(models={1: replace(CACHING, ttl=5)}, generations={2: 1})),
        Call(now=NOW + 5),
    ],
)
def test_what_changes_nothing_of_the_answer_changes_nothing_of_its_key(call):
    assert call.key == Call().key


def test_a_price_that_comes_into_force_gives_another_key():
    model = deployed(prices=(CARD, replace(DEARER, effective_from=NOW + 10)))
    assert Call(model=model).key == Call(model=model, now=NOW + 9).key != Call(model=model, now=NOW + 10).key


def test_betas_are_a_set():
    one, other = ({"anthropic-beta": betas} for betas in ("a, b", "b,a"))
    assert Call(headers=one).key == Call(headers=other).key


def test_numbers_that_differ_beyond_what_a_float_holds_differ():
    large, near = (bodied(seed=2**70 + more) for more in (0, 1))
    assert Call(body=large).key != Call(body=near).key
    exact, short = (bodied(top_p=0.5).replace(b"0.5", text) for text in (b"0.50000000000000000001", b"0.5"))
    assert Call(body=exact).key != Call(body=short).key
    assert Call(body=bodied(top_p="0.5")).key != Call(body=short).key


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": 0.%b1}' % (b"0" * 50), b'{"a":"\\ud800"}'])
def test_what_cannot_be_read_exactly_has_no_key(body):
    assert caching.read(body) is None


SERVER = {"type": "web_search_20250305", "name": "web_search"}
OWN = [{"type": "bash_20250124", "name": "bash"}, {"name": "a", "input_schema": {}}]


@pytest.mark.parametrize(
    ("protocol", "changes", "determined", "forced"),
    [
        (CHAT, {}, True, True),
        (CHAT, {"temperature": 0.0}, True, True),
        (CHAT, {"temperature": 0.2}, False, True),
        (CHAT, {"temperature": None}, False, True),
        (CHAT, {"temperature": None, "seed": 4}, False, True),
        (CHAT, {"n": 1}, True, True),
        (CHAT, {"n": 2}, False, False),
        (CHAT, {"store": True}, False, False),
        (CHAT, {"store": False}, True, True),
        (CHAT, {"web_search_options": {"a": 1}}, False, False),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "a"}}]}, True, True),
        ("openai_responses", {"previous_response_id": "r"}, False, False),
        ("openai_responses", {"tools": [{"type": "file_search"}]}, False, False),
        ("anthropic_messages", {"tools": OWN}, True, True),
        ("anthropic_messages", {"tools": [*OWN, SERVER]}, False, False),
        ("anthropic_messages", {"thinking": {"type": "adaptive"}}, False, True),
        ("anthropic_messages", {"thinking": {"type": "disabled"}}, True, True),
        ("openai_embeddings", {"temperature": None}, True, True),
    ],
)
def test_an_answer_is_kept_where_the_question_determines_it(protocol, changes, determined, forced):
    asked = caching.read(bodied(**changes))
    assert asked is not None
    assert caching.may_be_kept(asked, protocol=protocol, forced=False) is determined
    assert caching.may_be_kept(asked, protocol=protocol, forced=True) is forced


@pytest.mark.parametrize(
    ("header", "always", "asked"),
    [
        *((None, True, True), (None, False, False), (b"use", False, True), (b" USE ", False, True)),
        *((b"skip", True, False), (b"refresh", False, True), (b"please", False, False), (b"please", True, True)),
    ],
)
def test_the_cache_is_asked_where_policy_or_caller_want_it(header, always, asked):
    assert caching.is_wanted(replace(CACHING, always=always), caching.wish(header)) is asked


def test_a_keys_own_policy_goes_before_its_models():
    own = replace(CACHING, ttl=1)
    snapshot = Snapshot(
        revision=1,
        compiled_at=0.0,
        models={},
        tenants={},
        projects={},
        cachings=Cachings(models={1: CACHING}, keys={1: own}),
    )
    assert caching.caching_of(snapshot, ALICE, MODEL) is own
    assert caching.caching_of(snapshot, replace(ALICE, key_id=2), MODEL) is CACHING
    assert caching.caching_of(snapshot, replace(ALICE, key_id=2), replace(MODEL, id=2)) is None


# --- other words that mean the same ---------------------------------------------------------------------------------


def questioned(protocol: str = CHAT, **changes: Any) -> caching.Question | None:
    asked = caching.read(bodied(**changes))
    assert asked is not None
    return caching.question(asked, protocol=protocol)


def turned(content: Any, role: str = "user") -> list[Any]:
    return [{"role": "user", "content": "Hello"}, {"role": role, "content": content}]


@pytest.mark.parametrize(
    ("protocol", "changes", "words"),
    [
        (CHAT, {"messages": turned("Why 2 of 30?")}, "Why 2 of 30?"),
        ("anthropic_messages", {"messages": turned([{"type": "text", "text": word} for word in "ab"])}, "a\nb"),
        ("openai_responses", {"input": "Why?"}, "Why?"),
        ("openai_responses", {"input": turned([{"type": "input_text", "text": "Why?"}])}, "Why?"),
        ("openai_completions", {"prompt": "Why?"}, "Why?"),
        ("prompt", {"prompt": "Why?"}, "Why?"),
    ],
)
def test_a_question_is_the_words_of_the_last_turn(protocol, changes, words):
    found = questioned(protocol, **changes)
    assert found is not None
    assert found.words == words
    assert words not in json.dumps(found.rest, default=str), "what is compared need not be equal"
    assert found.figures == tuple(part for part in ("2", "30") if part in words)


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"messages": turned("Why?", role="assistant")},
        {"messages": turned("Why?", role="tool")},
        {"messages": turned("  ")},
        {"messages": turned("a" * (caching.LONGEST_QUESTION + 1))},
        {
            "messages": turned(
                [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
            )
        },
        {"messages": turned([{"type": "tool_result", "tool_use_id": "a", "content": "b"}])},
        {"tools": [{"type": "function", "function": {"name": "a"}}]},
        {"response_format": {"type": "json_object"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
        {"reasoning_effort": "high"},
    ],
)
def test_where_the_very_words_decide_nothing_is_compared(changes):
    assert questioned(**changes) is None


def test_vectors_themselves_are_not_compared():
    assert questioned("openai_embeddings", input="Why?") is None


words = st.sampled_from(["Why?", "How?", "Why 2?", "Why 3?"])


@given(changes, changes, words, words)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_questions_are_compared_only_if_nothing_but_their_words_distinguishes_them(first, second, one, other):
    """Above all: never of two tenants, two kinds of key, two policies or two prices."""

    def scope(call: Call, said: str) -> tuple[bytes, Any]:
        asked = caching.read(call.body)
        assert asked is not None
        found = caching.question(asked | {"messages": turned(said)}, protocol=CHAT)
        assert found is not None
        return replace(call, body=json.dumps(found.rest, default=str).encode()).scope(found.figures), found

    (left, here), (right, there) = scope(Call(**first), one), scope(Call(**second), other)
    same = replace(Call(**first), body=b"") == replace(Call(**second), body=b"")
    assert (left == right) is (same and here.rest == there.rest and here.figures == there.figures)
    assert left != Call(**first).key
