"""Whoever asks what, in whichever order: nobody is given what was kept for a call that differs in more than its words.

Through the cache itself, its stores and Qdrant, embedded; only the calls' providers are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from apps.domain.protocols import registry
from apps.domain.protocols.contract import ClientCall
from apps.domain.snapshot import Cachings, PinnedEndpoint, Semantic, Snapshot
from apps.domain.tokens import TokenUsage
from apps.gateway import cache, kept, semantic
from apps.gateway.context import RequestContext
from apps.gateway.kept import Local
from apps.gateway.shelf import Shelf
from apps.outbound.vectors import vectors
from tests import services
from tests.domain.test_caching import OTHERS, Call, turned
from tests.gateway.test_kept import shared

pytestmark = [pytest.mark.once, pytest.mark.attack("F27", "F31")]

# What a real call's answer depends on and is told by its context, not by the test.
CHANGES = {name: values for name, values in OTHERS.items() if name not in ("headers", "barred")}
CHANGES["body"] = [body for body in CHANGES["body"] if json.loads(body)["messages"]]  # those are the words
WORDS = ["Why?", "How?", "Why 2?", "Why 3?"]
ALIKE = Semantic(model="vectors", threshold=0.9)
ORIGIN = kept.Origin(
    "req_" + "a" * 32, 1, 1, "gpt", "openai_chat", "end_turn", TokenUsage(in_fresh=3, out_total=4), 50, None
)
calls = st.tuples(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in CHANGES.items()}),
    st.sampled_from(WORDS),
)


class Asked(NamedTuple):
    """A call, and its words. `rest`: all of its body but these."""

    call: Call
    words: str

    @property
    def rest(self) -> dict[str, Any]:
        return json.loads(self.call.body) | {"messages": None}

    def may_share(self, other: Asked) -> bool:
        return replace(self.call, body=b"") == replace(other.call, body=b"") and self.rest == other.rest

    @property
    def figures(self) -> str:
        return "".join(filter(str.isdigit, self.words))


def compared(cachings: Cachings) -> Cachings:
    """The same, by likeness too, and for longer than a test takes."""
    held = [
        {number: replace(one, semantic=ALIKE, ttl=3_600.0) for number, one in of.items()}
        for of in (cachings.models, cachings.keys)
    ]
    return Cachings(*held, cachings.generations, {number: b"%d" % number for number in range(9)})


class Corner:
    """The cache of one gateway."""

    def __init__(self, store: kept.Store) -> None:
        self.shelf = Shelf(store)
        self.questions = semantic.Semantic()
        self.kept: list[Asked] = []

    async def ask(self, asked: Asked, *, age: float = 0.0) -> tuple[Asked, str] | None:
        """Whose answer was given, and how it was found. If none was, the call's own is kept, as if so old."""
        sent: list[bytes] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message.get("body", b""))

        ctx = context(asked, send)
        if await cache.answer(ctx, self.shelf, self.questions, embed):
            assert ctx.look is not None
            return self.kept[json.loads(b"".join(sent))["n"]], ctx.look.kind
        look = ctx.look
        if look is not None and look.recorder is not None:
            new = kept.answer(b'{"n":%d}' % len(self.kept), origin=ORIGIN, is_stream=False, tells_usage=True)
            new = replace(new, kept_at=new.kept_at - age)
            then = cache._remembering(ctx, look, look.place, self.questions, size=9) if look.place else None
            self.shelf.keep(look.key, look.flight, new, ttl=look.caching.ttl, then=then)
            self.kept.append(asked)
            while not self.shelf.is_settled or vectors._pending:
                await asyncio.sleep(0)
        return None


async def embed(model: str, words: str) -> semantic.Vector:
    """All words mean nearly the same."""
    return semantic.Vector([1.0, 0.01 * WORDS.index(words), 0.1], "maker")


async def never() -> dict[str, Any]:
    raise AssertionError("the body is there")


def context(asked: Asked, send: Any) -> RequestContext:
    call = asked.call
    snapshot = Snapshot(
        revision=1,
        compiled_at=0.0,
        models={"gpt": call.model},
        tenants={},
        projects={},
        cachings=compared(call.cachings),
    )
    wire = registry.CLIENTS[call.protocol]
    ctx = RequestContext({"headers": []}, never, send, wire=wire, endpoint="any", snapshot=snapshot)
    body = json.dumps(json.loads(call.body) | {"messages": turned(asked.words)}).encode()
    ctx.call = ClientCall(protocol=call.protocol, body=body, wire=None, model="gpt", stream=False, max_tokens=None)
    ctx.principal, ctx.model, ctx.policy, ctx.started_at = call.principal, call.model, call.policy, call.now
    ctx.pinned = PinnedEndpoint(id=call.pinned_id, name="e", model="gpt") if call.pinned_id else None
    return ctx


@pytest.fixture(params=["in the process", "in Redis"])
def corner(request, tmp_path, monkeypatch, settings):
    """Its store, and the loop that it is of. Quick enough on a machine that tests on all its processors."""
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 30.0)
    settings.VAR_DIR = tmp_path
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        if request.param == "in Redis":
            server = stack.enter_context(services.valkey())
            made = runner.run(shared(url=server.url, most=10**8))
        else:
            made = Local(most=10**8)
        vectors.open()
        vectors.submit(lambda: None).result(60)
        yield runner, Corner(made)
        runner.run(made.close())
        vectors.close()


def test_nobody_is_given_what_was_kept_for_another(corner):
    runner, ours = corner
    found = []

    @given(st.lists(calls, min_size=2, max_size=6))
    @examples(
        max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def whoever_asks(sequence):
        for changes, words in sequence:
            asked = Asked(Call(**changes), words)
            known = [one for one in ours.kept if one.may_share(asked)]
            given_ = runner.run(ours.ask(asked))
            if given_ is None:
                assert asked not in known, "an equal question's answer is kept"
                continue
            owner, kind = given_
            found.append(kind)
            assert owner.call.principal.tenant_id == asked.call.principal.tenant_id
            assert owner.may_share(asked)
            assert owner.figures == asked.figures
            assert kind == "semantic" or owner.words == asked.words

    whoever_asks()
    assert found.count("exact") > 10
    assert found.count("semantic") > 5


def test_what_is_older_than_the_policy_says_now_is_given_to_nobody(tmp_path, monkeypatch, settings):
    """It is kept as long as the policy said when it came."""
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 30.0)
    settings.VAR_DIR = tmp_path
    vectors.open()
    vectors.submit(lambda: None).result(60)
    one, alike = Asked(Call(), "Why?"), Asked(Call(), "How?")

    async def check() -> None:
        ours = Corner(Local(most=10**8))
        assert await ours.ask(one, age=3_601.0) is None
        assert await ours.ask(alike, age=3_601.0) is None, "nor to other words"
        assert await ours.ask(one, age=3_500.0) is None
        assert await ours.ask(one) == (one, "exact")
        assert await ours.ask(alike) == (one, "semantic")

    try:
        asyncio.run(check())
    finally:
        vectors.close()


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in CHANGES.items() for value in values])
def test_each_difference_alone_keeps_two_calls_apart(field, value, tmp_path, monkeypatch, settings):
    """By words that are equal, and by words that are alike."""
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 30.0)
    settings.VAR_DIR = tmp_path
    vectors.open()
    vectors.submit(lambda: None).result(60)
    one, other = Asked(Call(), "Why?"), Asked(Call(**{field: value}), "Why?")

    async def check() -> None:
        ours = Corner(Local(most=10**8))
        assert await ours.ask(one) is None
        assert await ours.ask(other._replace(words="How?")) is None
        assert await ours.ask(other) is None or (await ours.ask(other))[0].call == other.call
        assert await ours.ask(one._replace(words="How?")) == (one, "semantic")
        assert await ours.ask(one) == (one, "exact")

    try:
        asyncio.run(check())
    finally:
        vectors.close()
