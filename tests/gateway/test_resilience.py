"""What clients notice of failing providers, what providers are asked, and what the ledger says of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog import breakers
from apps.catalog import services as catalog
from apps.catalog.models import Deployment
from apps.events import relay
from apps.events import services as events
from apps.gateway import cooling as cooling_module
from apps.gateway.standing import standing
from apps.runtime.state import state
from apps.usage.models import Entry
from tests.control import schemas
from tests.faults.proxy import Proxy
from tests.gateway import upstreams as providers
from tests.gateway.calls import ANTHROPIC, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

CALLS = 120
NOTHING: Mapping[str, Any] = MappingProxyType({})
QUICK = {"breaker_window": "count", "breaker_size": 20, "breaker_minimum_calls": 10, "breaker_half_open_calls": 3}


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any credential."""
    monkeypatch.setattr(cooling_module.cooling, "_rests", {})


@pytest.fixture
def proxy(simulator) -> Iterator[Proxy]:
    running = Proxy(simulator.base_url)
    yield running
    running.close()


def deployed(
    world, *upstreams: str, first_url: str = "", first: Mapping[str, Any] = NOTHING, **fields
) -> list[Deployment]:
    """The model `claude-three` at providers that are as good as each other; the first may lie behind a proxy, and have
    fields of its own: others that were timed so closely would fail on a slow machine."""
    model, made = world.model("claude-three", is_sticky=False), []
    for upstream in upstreams:
        url = "" if made else first_url
        row = world.deploy("claude-three", upstream=upstream, model=model, url=url)
        own = fields if made else {**fields, **first}
        made.append(catalog.update_deployment(row, actor=world.alice, **{**QUICK, **own}))
    return made


def call_often(gateway, count: int = CALLS, *, at_once: int = 6, stream: bool = True) -> Counter[int]:
    def one(_: int) -> int:
        return ask(gateway, ANTHROPIC, model="claude-three", change={"stream": stream, "max_tokens": 8}).status_code

    with ThreadPoolExecutor(at_once) as threads:
        return Counter(threads.map(one, range(count)))


def phase(deployment: Deployment) -> str:
    return next((known.breaker.phase for known in standing.breakers if known.id == deployment.pk), "unknown")


def agreed_rows(gateway, simulator, since: int) -> list[Entry]:
    """The ledger's, after it has been held against the meter: a row for every upstream call, and every token. Of one
    that was given up for being late the provider may not have heard yet."""
    gateway.settle()
    rows, metered = list(Entry.objects.order_by("id")), simulator.readings()[since:]
    heard = Counter(reading.model for reading in metered)
    assert Counter(row.upstream_model for row in rows if row.status != "timeout") <= heard
    assert heard <= Counter(row.upstream_model for row in rows)
    answered = [row for row in rows if row.status == "ok"]
    billed = [reading.billed for reading in metered if reading.status == 200 and reading.outcome == "end"]
    assert sum(row.in_fresh for row in answered) == sum(counters.fresh for counters in billed)
    assert sum(row.out_total for row in answered) == sum(counters.output for counters in billed)
    return rows


@pytest.mark.parametrize(
    ("fault", "fields"),
    [
        ("claude-500", {}),
        ("claude-dies-before-headers", {}),
        ("claude-stall", {"first_byte_timeout": 0.1}),
        ("claude-429", {}),
        ("claude-slow-150", {"breaker_slow_seconds": 0.05}),
    ],
)
def test_clients_notice_nothing_of_a_provider_that_fails_while_another_is_well(
    gateway, world, simulator, fault, fields
):
    first, *others = deployed(world, fault, "claude-b", "claude-c", first=fields)
    for other in others:  # so it is asked until it is left alone, however the dice fall
        catalog.update_deployment(other, actor=world.alice, priority=1)
    gateway.refresh()
    before, metered = simulator.seen(), len(simulator.readings())
    assert call_often(gateway) == {200: CALLS}
    assert simulator.seen() - before <= 1.2 * CALLS
    booked = agreed_rows(gateway, simulator, metered)
    failed = [row for row in booked if row.status != "ok"]
    assert len(booked) - len(failed) == CALLS
    next_trail = {(row.request_id, row.attempt - 1): row.trail for row in booked}
    for row in failed:
        assert any(step.startswith(("after ", "connection stale")) for step in next_trail[row.request_id, row.attempt])
    if fault == "claude-429":
        assert phase(first) == "closed"
        assert all(any(step.startswith("credential main: 429, cooling") for step in row.trail) for row in failed)
    else:
        assert phase(first) == "open"
        passed_over = [step for row in booked for step in row.trail if step.startswith("skipped claude-three")]
        assert passed_over
        assert all("breaker open" in step for step in passed_over)


def test_where_all_providers_fail_they_are_asked_little_and_clients_are_told_when_to_ask_again(
    gateway, world, simulator
):
    deployed(world, "claude-500", "claude-503", "claude-dies-before-headers")
    gateway.refresh()
    before = simulator.seen()
    told = call_often(gateway, 60)
    assert 200 not in told
    assert simulator.seen() - before <= 1.2 * 60
    refused = ask(gateway, ANTHROPIC, model="claude-three")
    assert refused.status_code == 529
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    gateway.settle()
    assert any("breaker open 60 s: 10 of 10 calls failed" in row.trail for row in Entry.objects.all())


def test_a_spent_budget_leaves_the_first_answer_as_it_is_and_says_so(gateway, world, simulator):
    deployed(world, "claude-500", "claude-502", breaker_minimum_calls=1000, breaker_window="time")
    gateway.refresh()
    unpaid = state.retries_unpaid["claude-three"]
    before = simulator.seen()
    assert 200 not in call_often(gateway, CALLS)
    gateway.settle()
    assert simulator.seen() - before < CALLS + 65  # the burst, and what seconds earn
    assert state.retries_unpaid["claude-three"] > unpaid
    said = "nobody else is asked: the retry budget is used up"
    assert any(said in row.trail for row in Entry.objects.all())


@pytest.mark.parametrize("fault", ["hold", "reset"])
def test_one_half_open_round_brings_a_provider_back(gateway, world, simulator, proxy, fault):
    fields = {"breaker_open_seconds": 0.4, "first_byte_timeout": 0.3, "connect_timeout": 0.3}
    first, *_ = deployed(world, "claude-a", "claude-b", "claude-c", first_url=proxy.url, first=fields)
    gateway.refresh()
    proxy.hold() if fault == "hold" else proxy.refuse()
    assert call_often(gateway, 60) == {200: 60}
    assert phase(first) in ("open", "half_open")
    proxy.heal()
    changes = state.breaker_changes.copy()
    until(lambda: call_often(gateway, 6) == {200: 6} and phase(first) == "closed")
    grown = state.breaker_changes - changes
    name = "claude-three claude-a"
    assert grown[name, "claude-a", "closed"] == 1
    assert grown[name, "claude-a", "half_open"] <= 2  # one may have been under way when it healed


def test_a_breaker_that_opens_and_closes_arrives_at_a_sink(gateway, world, proxy, settings, tmp_path):
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]
    events.create_sink(actor=world.alice, name="All", kind="file", target="all", kinds=["provider.health"])
    first, *_ = deployed(world, "claude-a", "claude-b", first_url=proxy.url, first={"breaker_open_seconds": 0.4})
    gateway.refresh()
    proxy.refuse()
    until(lambda: call_often(gateway, 6) == {200: 6} and phase(first) != "closed")
    for _ in range(2):
        standing.breakers.publish()
        breakers.tell(timezone.now())
    proxy.heal()
    until(lambda: call_often(gateway, 6) == {200: 6} and phase(first) == "closed")
    for _ in range(2):
        standing.breakers.publish()
        breakers.tell(timezone.now())
    relay.run()
    (written,) = (tmp_path / "all").glob("*.jsonl")
    told = [json.loads(line) for line in written.read_text().splitlines()]
    assert [fault for event in told for fault in schemas.faults("provider.health", event["data"])] == []
    assert [event["data"]["breaker"] for event in told] == ["open", "closed"]
    assert [event["subject"] for event in told] == [f"provider/{first.provider_id}"] * 2
    assert told[0]["data"]["message"] in ("10 of 10 calls failed", "half open: 3 of 3 calls failed")
    assert told[0]["data"]["deployment"]["model"] == "claude-three"


def test_a_stream_that_breaks_later_counts_against_its_deployment(gateway, world):
    (only,) = deployed(world, "claude-dies-after-6-chunks")
    gateway.refresh()
    for _ in range(12):
        ask(gateway, ANTHROPIC, model="claude-three", change={"stream": True})
    gateway.settle()
    assert phase(only) == "open"


def test_a_client_that_leaves_or_errs_says_nothing_of_its_deployment(gateway, world):
    (only,) = deployed(world, "claude-400")
    gateway.refresh()
    assert call_often(gateway, 15) == {400: 15}
    assert phase(only) == "closed"


def test_counting_tokens_leaves_alone_whom_calls_leave_alone_and_is_no_call_itself(gateway, world, simulator):
    first, *_ = deployed(world, "claude-500", "claude-b")
    gateway.refresh()
    count = partial(ask, gateway, "/v1/messages/count_tokens", model="claude-three", change={"max_tokens": None})
    for _ in range(15):
        count()
    assert phase(first) in ("closed", "unknown"), "counts are no calls"
    until(lambda: call_often(gateway, 12) == {200: 12} and phase(first) == "open")
    before = simulator.seen()
    assert [count().status_code for _ in range(8)] == [200] * 8
    asked = [call["body"]["model"] for call in simulator.calls()[before - simulator.seen() :]]
    assert asked == ["claude-b"] * 8


def test_a_connection_that_was_closed_meanwhile_is_no_failure_to_the_breaker(gateway, world):
    """One that the pool kept, of a provider that hangs up on the second request: it is asked again on a new one."""
    with providers.upstream(providers.MESSAGE, hangs_up=True) as url:
        (only,) = deployed(world, "claude-idle", first_url=url, breaker_minimum_calls=1, breaker_size=2)
        gateway.refresh()
        paid = state.retries["claude-three"]
        assert call_often(gateway, 12, at_once=1, stream=False) == {200: 12}
    gateway.settle()
    assert phase(only) == "closed"
    assert any("connection stale: asked again" in row.trail for row in Entry.objects.all())
    assert state.retries["claude-three"] == paid, "nor is it a retry that is paid for"


def test_a_breaker_that_is_reset_in_the_catalog_is_forgotten(gateway, world):
    (only,) = deployed(world, "claude-500")
    gateway.refresh()
    call_often(gateway, 12)
    assert phase(only) == "open"
    catalog.reset_breaker(only, actor=world.alice)
    assert Record.objects.filter(action="deployment.breaker_reset", target_id=str(only.pk)).exists()
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="claude-three").status_code != 529
    assert phase(only) == "closed"


def test_operators_see_how_deployments_fare(gateway, world, settings):
    settings.WEIR_OPERATOR_TOKEN = "see-all-of-it"
    operator = {"authorization": "Bearer see-all-of-it"}
    deployed(world, "claude-500", "claude-b")
    gateway.refresh()
    call_often(gateway, 60)
    standing.breakers.publish()
    told = gateway.client.get("/providers", headers=operator).json()["deployments"]
    by_model = {row["model"]: row for row in told}
    assert (by_model["claude-500"]["breaker"], by_model["claude-500"]["reason"]) == ("open", "10 of 10 calls failed")
    assert by_model["claude-500"]["success"] == 0
    assert by_model["claude-b"]["success"] == 1
    assert by_model["claude-b"]["first_token"] > 0
    metrics = gateway.client.get("/metrics", headers=operator).text
    labels = f'{{model="claude-500",provider="claude-three claude-500",replica="{state.replica}"}}'
    assert f"weir_breaker_state{labels} 2.0" in metrics
    assert 'weir_breaker_changes_total{model="claude-500"' in metrics
    assert 'weir_retries_total{model="claude-three"' in metrics
