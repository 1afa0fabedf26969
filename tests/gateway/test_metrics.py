"""What Prometheus is told of a call agrees with its ledger row."""

from __future__ import annotations

import time

import pytest
from prometheus_client import REGISTRY

from apps.domain import errors
from apps.gateway import metrics
from apps.runtime.measured import Counts, Spread, Spreads
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

UPSTREAM = ("claude-test claude-upstream", "claude-upstream")
DIALECT = "anthropic_messages"
CALLS = {"dialect": DIALECT, "model": "claude-test", "outcome": "ok", "fault": "none"}


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def measured(family: Counts | Spreads, *words: str) -> float:
    """How often."""
    found = family.values.get(words, 0)
    return sum(found.counts) if isinstance(found, Spread) else found


def figures() -> dict[str, float]:
    of = {"model": "claude-test", "provider": UPSTREAM[0]}
    return {
        "calls": told("weir_calls_total", **CALLS),
        "fresh": told("weir_tokens_total", **of, direction="in", kind="fresh"),
        "out": told("weir_tokens_total", **of, direction="out", kind="answer"),
        "cost": told("weir_cost_usd_total", **of),
        "durations": measured(metrics.DURATION, DIALECT),
        "first": measured(metrics.FIRST_BYTE, DIALECT),
        "overheads": measured(metrics.OVERHEAD, DIALECT),
        "asked": measured(metrics.ASKED, *UPSTREAM, "ok"),
        "upstream": measured(metrics.ASKED_SECONDS, *UPSTREAM),
        "upstream_first": measured(metrics.ASKED_FIRST, *UPSTREAM),
        "a_token": measured(metrics.A_TOKEN, *UPSTREAM),
    }


@pytest.mark.parametrize("stream", [False, True])
def test_an_answered_call_is_counted_with_its_tokens_its_cost_and_its_times(gateway, stream):
    before = figures()
    assert ask(gateway, ANTHROPIC, change={"stream": stream}).status_code == 200
    gateway.settle()
    entry = Entry.objects.get()
    until(lambda: figures()["calls"] > before["calls"])
    grown = {name: after - before[name] for name, after in figures().items()}
    streams = dict.fromkeys(("first", "upstream_first", "a_token"), int(stream))
    once = dict.fromkeys(("calls", "durations", "overheads", "asked", "upstream"), 1)
    spent = {"fresh": entry.in_fresh, "out": entry.out_total, "cost": pytest.approx(entry.cost_nano / 1e9)}
    assert grown == {**once, **streams, **spent}


def test_what_the_gateway_adds_is_less_than_the_call_took(gateway):
    spread = metrics.OVERHEAD.values
    before = spread[DIALECT,].total if (DIALECT,) in spread else 0.0
    counted = measured(metrics.OVERHEAD, DIALECT)
    began = time.monotonic()
    ask(gateway, ANTHROPIC)
    took = time.monotonic() - began
    until(lambda: measured(metrics.OVERHEAD, DIALECT) > counted)
    assert 0 < spread[DIALECT,].total - before < took


def test_a_refused_call_is_counted_by_its_error_and_costs_nothing(gateway):
    labels = {"dialect": DIALECT, "model": "", "outcome": "authentication", "fault": "caller"}
    before = told("weir_calls_total", **labels)
    ask(gateway, ANTHROPIC, key="junk")
    until(lambda: told("weir_calls_total", **labels) == before + 1)


def test_a_provider_that_fails_is_told_from_the_caller_and_from_the_gateway(gateway, simulator):
    labels = CALLS | {"outcome": "overloaded", "fault": "provider"}
    before, asked = told("weir_calls_total", **labels), measured(metrics.ASKED, *UPSTREAM, "overloaded")
    simulator.behave({"claude-upstream": "529"})
    try:
        ask(gateway, ANTHROPIC)
    finally:
        simulator.behave({})
    until(lambda: told("weir_calls_total", **labels) == before + 1)
    assert measured(metrics.ASKED, *UPSTREAM, "overloaded") > asked


FAILURES = {
    errors.UpstreamRefused("no"): ("refused", "caller"),
    errors.UpstreamAuth("no"): ("auth", "provider"),
    errors.UpstreamTimeout("late"): ("timeout", "provider"),
    errors.ConnectionStale("closed"): ("stale", "provider"),
    errors.Outpaced("slow"): ("outpaced", "caller"),
    errors.ClientGone("gone"): ("client_gone", "caller"),
    errors.BudgetExhausted("spent"): ("stopped", "caller"),
    errors.NoDeployment("nobody"): ("fault", "provider"),
    errors.NoPrice("unpriced"): ("fault", "gateway"),
    errors.Unavailable("leaving"): ("fault", "gateway"),
    errors.InternalError("a fault"): ("fault", "gateway"),
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_every_failure_has_a_word_and_somebody_whose_it_is(failure):
    assert (metrics.outcome(failure), metrics.fault(failure)) == FAILURES[failure]


def test_who_was_not_even_reached_is_told_apart():
    failure = errors.UpstreamBroken("no connection")
    failure.reached = False
    assert metrics.outcome(failure) == "unreachable"
