"""Calls that nobody answers for a while: who else is asked, who is heard, and what both of them cost."""

from __future__ import annotations

import time

import pytest

from apps.catalog import services as catalog
from apps.gateway import cooling as cooling_module
from apps.gateway import metrics
from apps.gateway.standing import standing
from apps.runtime.rooms import rooms
from apps.usage.books import verify
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.sockets import call, leave
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

NAME = "claude-hedged"
FOREVER = "claude-slow-20000"


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any credential."""
    monkeypatch.setattr(cooling_module.cooling, "_rests", {})


def deployed(gateway, world, *upstreams: str, **fields) -> None:
    """Of one model, each at a provider of its own, asked in this order, a place each for one call."""
    fields = {"hedge_after": 0.05, "max_concurrency": 1, **fields}
    model = world.model(NAME, is_sticky=False)
    for priority, upstream in enumerate(upstreams):
        row = world.deploy(NAME, upstream=upstream, model=model, priority=priority)
        catalog.update_deployment(row, actor=world.alice, **fields)
    gateway.refresh()


def booked(gateway) -> list[Entry]:
    """All of it, by attempt: numbered without a hole, and every place is free again."""
    gateway.settle()
    assert not rooms.open
    assert not verify.run().violations
    return list(Entry.objects.order_by("attempt"))


def has_step(row: Entry, step: str) -> bool:
    return any(told.startswith(step) for told in row.trail)


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_who_answers_first_is_heard_and_both_are_booked(gateway, world, simulator, path):
    deployed(gateway, world, FOREVER, "claude-quick")
    budget = world.budget(key=world.key_row, amount=10**12)
    gateway.refresh()
    began, metered = time.monotonic(), len(simulator.readings())
    assert ask(gateway, path, model=NAME, change={"max_tokens": 64}).status_code == 200
    took = time.monotonic() - began
    assert took < 10
    lost, heard = booked(gateway)
    assert [reading.model for reading in simulator.readings()[metered:]] == [FOREVER, "claude-quick"]
    assert (lost.upstream_model, lost.status, lost.error_code) == (FOREVER, "client_gone", "hedge_lost")
    assert has_step(lost, "lost to the hedge")
    assert 0 < lost.cost_nano < lost.reserved_nano
    assert (heard.upstream_model, heard.status) == ("claude-quick", "ok")
    assert has_step(heard, f"hedged after 0.05 s: {NAME} {FOREVER} had not answered")
    assert heard.out_total == simulator.readings()[-1].billed.output
    assert heard.cost_nano == world.price_of(NAME, heard)
    assert budget.windows.get().settled == lost.reserved_nano + heard.cost_nano


def test_who_was_asked_first_may_still_be_first(gateway, world):
    deployed(gateway, world, "claude-slow-300", FOREVER)
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    lost, heard = sorted(booked(gateway), key=lambda row: row.status)
    assert (heard.attempt, heard.status, lost.attempt) == (1, "ok", 2)
    assert has_step(lost, "hedged after 0.05 s")
    assert has_step(lost, "lost to the one that was asked first")


def test_the_wait_before_a_hedge_is_nothing_that_the_gateway_adds(gateway, world):
    deployed(gateway, world, "claude-slow-1500", FOREVER, hedge_after=1.0)
    metrics.OVERHEAD.values.pop(of := ("anthropic_messages",), None)
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    assert len(booked(gateway)) == 2
    until(lambda: of in metrics.OVERHEAD.values)
    assert metrics.OVERHEAD.values[of].total < 1.0


@pytest.mark.parametrize("upstreams", [("claude-slow-400", "claude-500"), ("claude-stall", "claude-slow-300")])
def test_one_failure_is_none_while_the_other_may_answer(gateway, world, upstreams):
    deployed(gateway, world, *upstreams, "claude-third", first_byte_timeout=0.5)
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    told = {row.upstream_model: row.status for row in booked(gateway)}
    assert "ok" in told.values()
    assert not told.keys() - {*upstreams}


def test_when_both_have_failed_the_next_is_asked(gateway, world):
    deployed(gateway, world, "claude-stall", "claude-500", "claude-third", first_byte_timeout=0.3)
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    first, second, third = booked(gateway)
    assert (first.status, second.status) == ("timeout", "upstream_error")
    assert (third.upstream_model, third.status) == ("claude-third", "ok")
    assert [step for step in third.trail if step.startswith("after ")] == [
        "after 500 of claude-hedged claude-500",
        "after timeout of claude-hedged claude-stall",
    ]


def test_what_the_caller_must_cure_is_told_when_the_other_has_failed(gateway, world):
    deployed(gateway, world, "claude-stall", "claude-400", "claude-third", first_byte_timeout=0.3)
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 400
    assert [row.status for row in booked(gateway)] == ["timeout", "upstream_error"]


def test_nobody_else_is_asked_where_money_suffices_for_one(gateway, world):
    deployed(gateway, world, "claude-slow-300", "claude-quick")
    ask(gateway, ANTHROPIC, model=NAME, change={"stream": True})
    (alone,) = booked(gateway)  # a stream is not hedged
    world.budget(key=world.key_row, amount=alone.reserved_nano * 3 // 2)
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    rows = [row for row in booked(gateway) if not row.stream]
    assert [(row.upstream_model, row.status) for row in rows] == [("claude-slow-300", "ok")]
    assert has_step(rows[0], "not hedged: ")


def test_nobody_else_is_asked_whom_the_retry_budget_does_not_pay(gateway, world):
    deployed(gateway, world, "claude-slow-300", "claude-quick")
    (model,) = [model for model in gateway.engine.configuration.snapshot.models.values() if model.name == NAME]
    standing.budget(model).left = -100.0
    assert ask(gateway, ANTHROPIC, model=NAME).status_code == 200
    (row,) = booked(gateway)
    assert has_step(row, "not hedged: the retry budget is used up")


def test_a_caller_who_leaves_is_left_by_both(gateway, world, simulator):
    deployed(gateway, world, FOREVER, FOREVER + "-tokens-9")
    metered = len(simulator.readings())
    socket = call(gateway, ANTHROPIC, model=NAME)
    until(lambda: len(simulator.readings()) == metered + 2)
    leave(socket, "rst")
    rows = booked(gateway)
    assert [(row.attempt, row.status, row.error_code) for row in rows] == [
        (1, "client_gone", "client_gone"),
        (2, "client_gone", "client_gone"),
    ]
    assert {known.breaker.phase for known in standing.breakers} == {"closed"}
    until(lambda: all(reading.outcome != "open" for reading in simulator.readings()[metered:]))
