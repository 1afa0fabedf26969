"""Kept answers in bad company: callers whose limits or first askers fail them, stores that go, gateways that die."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from django.db.models import Sum

from apps.gateway import aside, kept, semantic
from apps.outbound.vectors import vectors
from apps.runtime import failpoints
from apps.usage import ledger, reaper, recovery, rollups
from apps.usage.books import verify
from apps.usage.journal import Journal
from apps.usage.models import Cached, Entry, HourlyRollup
from tests import services
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.conftest import Gateway
from tests.gateway.test_cache import TOLD, asked, keeps, result, said
from tests.money.calls import hit, intent
from tests.money.journals import play
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

SLOW = "claude-slow-700-tokens-4"


@pytest.fixture
def world(world, monkeypatch):
    """A machine that tests on all its processors is quick enough in a second."""
    monkeypatch.setattr(kept, "DEADLINE_SECONDS", 1.0)
    for name in ("claude-test", "gpt-test"):
        keeps(world, name)
    return world


def slow(world, gateway) -> None:
    world.deploy(SLOW, upstream=SLOW)
    keeps(world, SLOW)
    gateway.refresh()


def tried(gateway, **change):
    """As `asked`, whatever comes of it."""
    key = {"key": change.pop("key")} if "key" in change else {}
    return ask(gateway, ANTHROPIC, change=TOLD[ANTHROPIC] | {"temperature": 0} | change, **key)


def test_who_asks_in_another_dialect_has_an_answer_of_its_own(gateway, world, simulator):
    slow(world, gateway)
    before = simulator.seen()
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda path: asked(gateway, path, model=SLOW), (ANTHROPIC, OPENAI, ANTHROPIC, OPENAI)))
    assert sorted(map(result, told)) == ["hit", "hit", "miss", "miss"]
    assert simulator.seen() == before + 2


def test_an_error_is_not_kept_and_those_who_wait_for_it_ask_for_themselves(gateway, world, simulator):
    name = "claude-500"
    world.deploy(name, upstream=name)
    keeps(world, name)
    gateway.refresh()
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(lambda _: tried(gateway, model=name), range(3)))
    assert {(answer.status_code >= 500, result(answer)) for answer in told} == {(True, "miss")}
    assert result(tried(gateway, model=name)) == "miss"
    assert not gateway.engine.shelf._flights


@pytest.mark.parametrize("where", ["settle.before_journal", "settle.after_journal"])
def test_those_who_wait_are_let_go_when_the_first_cannot_be_booked(gateway, world, simulator, where):
    slow(world, gateway)
    before = simulator.seen()
    with ThreadPoolExecutor(4) as pool:
        try:
            first = pool.submit(asked, gateway, ANTHROPIC, model=SLOW)
            until(lambda: simulator.seen() == before + 1)
            failpoints.arm(f"{where}:raise:1")
            waits = [pool.submit(asked, gateway, ANTHROPIC, model=SLOW) for _ in range(3)]
            told = [first.result(), *(each.result() for each in waits)]
        finally:
            failpoints.arm("")
    assert [result(answer) for answer in told] == ["miss", "hit", "hit", "hit"]
    assert simulator.seen() == before + 1
    assert not gateway.engine.shelf._flights
    assert result(asked(gateway, ANTHROPIC, model=SLOW)) == "hit"


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_kept_answer_that_cannot_be_read_is_a_miss_and_another_takes_its_place(gateway, simulator, is_packed):
    assert result(asked(gateway, OPENAI)) == "miss"
    gateway.settle()  # its client has its answer before it is kept
    until(lambda: gateway.engine.shelf.is_settled)
    answers = gateway.engine.shelf._store._answers
    ((key, (written, due)),) = answers.items()
    broken = msgspec.structs.replace(kept._decode(written), body=b"neither JSON nor packed", is_packed=is_packed)
    answers[key] = (kept._encode(broken), due)
    before = simulator.seen()
    told = [asked(gateway, OPENAI, stream=True)]
    gateway.settle()
    told.append(asked(gateway, OPENAI))
    assert [result(answer) for answer in told] == ["miss", "hit"]
    assert told[1].json()["choices"][0]["message"]["content"] == said(OPENAI, told[0], stream=True)
    assert simulator.seen() == before + 1


def test_who_waits_is_held_to_its_own_limits_and_spends_no_budget(gateway, world, simulator):
    """A hit costs nothing, so who has nothing left may have it; who may ask nothing more may not."""
    slow(world, gateway)
    poor, busy = (world._issue(name=name) for name in ("poor", "busy"))
    world.budget(key=poor.key, amount=1)
    world.limit(key=busy.key, requests_per_minute=1)
    gateway.refresh()
    assert tried(gateway, model=SLOW, key=poor.plaintext).status_code in (402, 403, 429), "it cannot pay"
    before = simulator.seen()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(asked, gateway, ANTHROPIC, model=SLOW)
        until(lambda: simulator.seen() == before + 1)
        waits = [pool.submit(tried, gateway, model=SLOW, key=key.plaintext) for key in (poor, busy)]
        told = [first.result(), *(each.result() for each in waits)]
    assert [(answer.status_code, result(answer)) for answer in told] == [(200, "miss"), (200, "hit"), (200, "hit")]
    assert tried(gateway, model=SLOW, key=busy.plaintext).status_code == 429
    gateway.settle()
    assert verify.run().violations == 0


def test_a_question_outlives_a_moment_without_the_answers_store(world, settings, monkeypatch, tmp_path):
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(semantic, "DEADLINE_SECONDS", 10.0)
    monkeypatch.setattr(aside, "PATIENCE_SECONDS", 10.0)
    model = world.model("gpt-vectors", capabilities=["embeddings"])
    world.deploy("gpt-vectors", upstream="embedding-upstream", model=model)
    world.deploy("gpt-likes", upstream="gpt-upstream")
    keeps(world, "gpt-likes", semantic_model=model, semantic_threshold=0.9)
    with services.valkey() as server:
        settings.REDIS_URL = server.url
        running = Gateway(world)
        try:
            until(lambda: running.engine.shelf.is_up and vectors.is_up and not vectors._pending)

            def words(said: str) -> str:
                turns = [{"role": "user", "content": said}]
                found = result(asked(running, OPENAI, model="gpt-likes", messages=turns))
                running.settle()
                until(lambda: running.engine.shelf.is_settled and not vectors._pending)
                return found

            asked_ = "How do I reset the password of my account at the portal?"
            assert [words(asked_), words(asked_.replace("?", " please?"))] == ["miss", "hit"]
            server.server.end(signal.SIGKILL)
            assert words(asked_.replace("portal", "portal now")) == "miss"
            row = Entry.objects.exclude(endpoint="embeddings").latest("id")
            assert "cache: not compared, the kept answers are not available" in row.trail
            assert sum(one.count for one in vectors.submit(vectors.holdings).result()) == 1
        finally:
            running.stop()


def test_hits_that_a_killed_gateway_told_only_its_journal_are_in_the_books_once(gateway, tmp_path):
    """Whoever finds the journal, and however often; and in every sum."""
    asked(gateway, OPENAI)
    asked(gateway, OPENAI)
    gateway.settle()
    paid, given = Entry.objects.order_by("id")
    of = {"tenant_id": given.tenant_id, "project_id": given.project_id, "model_id": given.model_id}
    hits = [hit(intent(**of), saved=paid.cost_nano) for _ in range(3)]
    ledger.post(hits[:1])

    async def killed(journal: Journal) -> None:
        for one in hits:
            journal.outcome(one)
        await journal.flush()

    for journal in ("gone", "gone again"):
        play(killed, Journal(tmp_path, name=journal))
        asyncio.run(recovery.recover(tmp_path))
        reaper.reap()
        rollups.roll_up()
        found = Entry.objects.filter(cached=Cached.EXACT)
        assert found.count() == 1 + len(hits)
        assert {(row.cost_nano, row.out_total, row.saved_nano) for row in found} == {(0, 0, paid.cost_nano)}
        sums = HourlyRollup.objects.aggregate(
            **{name: Sum(name) for name in ("calls", "hits", "saved_nano", "cost_nano")}
        )
        assert sums == {"calls": 5, "hits": 4, "saved_nano": 4 * paid.cost_nano, "cost_nano": paid.cost_nano}
        assert verify.run().violations == 0
