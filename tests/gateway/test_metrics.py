"""What Prometheus is told of a call agrees with its ledger row."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

CALLS = {"dialect": "anthropic_messages", "model": "claude-test", "outcome": "ok"}


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def figures() -> tuple[float, ...]:
    return (
        told("weir_calls_total", **CALLS),
        told("weir_tokens_total", model="claude-test", direction="in"),
        told("weir_tokens_total", model="claude-test", direction="out"),
        told("weir_call_duration_seconds_count", dialect="anthropic_messages"),
        told("weir_time_to_first_token_seconds_count", dialect="anthropic_messages"),
    )


@pytest.mark.parametrize("stream", [False, True])
def test_an_answered_call_is_counted_with_its_tokens_its_cost_and_its_time(gateway, stream):
    before, cost = figures(), told("weir_cost_usd_total", model="claude-test")
    assert ask(gateway, ANTHROPIC, change={"stream": stream}).status_code == 200
    gateway.settle()
    entry = Entry.objects.get()
    until(lambda: figures()[0] > before[0])
    grown = tuple(after - earlier for after, earlier in zip(figures(), before, strict=True))
    assert grown == (1, entry.in_fresh, entry.out_total, 1, 1 if stream else 0)
    spent = told("weir_cost_usd_total", model="claude-test") - cost
    assert spent == pytest.approx(entry.cost_nano / 1e9)


def test_a_refused_call_is_counted_by_its_error_and_costs_nothing(gateway):
    labels = {"dialect": "anthropic_messages", "model": "", "outcome": "authentication"}
    before = told("weir_calls_total", **labels)
    ask(gateway, ANTHROPIC, key="junk")
    until(lambda: told("weir_calls_total", **labels) == before + 1)
