"""Posting outcomes: once, whatever happens on the way, and counters move with the rows."""

from __future__ import annotations

import random
import time

import pytest
from django.db import DatabaseError, connection, transaction

from apps.domain import ids
from apps.domain.limits.credit import Keep
from apps.quotas import windows
from apps.quotas.models import BudgetWindow, Lease
from apps.usage import ledger
from apps.usage.models import Entry
from tests.money.books import budget, rule, standing
from tests.money.calls import CARD, intent, outcome

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db):
    from tests import factories

    return factories.tenant("Acme")


def lease(of, name: str = "replica", *, need: int = 1, replicas: int | None = None):
    ask = windows.Ask(rule=rule(of), need=need, demand=need, unit=need)
    (grant,) = windows.acquire([ask], replica=name, epoch=windows.register(name), now=time.time(), replicas=replicas)
    return grant


def test_a_row_says_all_that_the_outcome_said():
    meant = intent(
        tenant_id=11, project_id=12, user_id=13, key_id=14, model_id=15, provider_id=16, deployment_id=17,
        credential="main", upstream_model="claude-4", client_protocol="openai_chat", stream=True,
        upstream_protocol="anthropic_messages", endpoint="/v1/messages", reserved=500, queue_ms=3, trace_id="t" * 32,
        client_address="2001:db8::1", user_agent="curl/8", windows=(1,), leases=(2,), at=1_790_000_000.25,
    )  # fmt: skip
    told = outcome(meant, cost=700, latency_ms=900, ttft_ms=200, stop_reason="end_turn", trail=("a: taken",))
    (entry_id,) = ledger.post([told])
    row = Entry.objects.get(pk=entry_id)
    assert entry_id == ids.entry_id(meant.request_id, attempt=1, slot=1)
    assert (row.tenant_id, row.project_id, row.user_id, row.key_id) == (11, 12, 13, 14)
    assert (row.model_id, row.provider_id, row.deployment_id, row.credential) == (15, 16, 17, "main")
    assert (row.model_name, row.upstream_model, row.endpoint) == ("claude", "claude-4", "/v1/messages")
    assert (row.client_protocol, row.upstream_protocol, row.stream) == ("openai_chat", "anthropic_messages", True)
    assert (row.in_fresh, row.out_total, row.usage_source) == (10, 5, "provider")
    assert (row.cost_nano, row.low_nano, row.high_nano, row.reserved_nano, row.overrun_nano) == (
        700,
        700,
        700,
        500,
        200,
    )
    assert (row.price_version, row.status, row.state, row.http_status) == (CARD.version, "ok", "settled", 200)
    assert (row.latency_ms, row.ttft_ms, row.queue_ms, row.stop_reason) == (900, 200, 3, "end_turn")
    assert (row.client_address, row.user_agent, row.trace_id) == ("2001:db8::1", "curl/8", "t" * 32)
    assert (row.windows, row.trail) == ([1], ["a: taken"])
    assert row.started_at.timestamp() == 1_790_000_000.25
    assert abs(row.settled_at.timestamp() - time.time()) < 60


def test_the_same_batch_any_number_of_times_in_any_order_counts_once(acme):
    dice = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    found = budget(10**9, tenant=acme)
    grant = lease(found)
    hold = {"windows": (grant.window_id,), "leases": (grant.lease_id,)}
    outcomes = [outcome(intent(**hold), cost=cost) for cost in range(1, 51)]
    new = 0
    for _ in range(5):
        batch = outcomes * dice.randint(1, 5)
        dice.shuffle(batch)
        new += len(ledger.post(batch[: dice.randint(1, len(batch))]))
    new += len(ledger.post(outcomes))
    assert new == Entry.objects.count() == 50
    assert standing(found)[0] == sum(range(1, 51))
    windows.retire("replica")
    assert standing(found) == (sum(range(1, 51)), 0)


def test_attempts_of_one_request_are_rows_of_their_own():
    from msgspec.structs import replace

    first = intent()
    ledger.post([outcome(replace(first, attempt=attempt), cost=attempt) for attempt in (1, 2, 3)])
    assert sorted(Entry.objects.values_list("attempt", "cost_nano")) == [(1, 1), (2, 2), (3, 3)]


def test_a_budget_is_charged_the_most_while_the_truth_is_not_known(acme):
    found = budget(1_000, tenant=acme)
    grant = lease(found)
    held = intent(windows=(grant.window_id,), leases=(grant.lease_id,), reserved=100)
    ledger.post([outcome(held, state="unconfirmed", cost=40, low=10, high=100)])
    assert standing(found) == (100, 900)
    assert Entry.objects.get().cost_nano == 40


def test_what_does_not_fit_is_cut_and_nul_is_dropped():
    ids = dict.fromkeys(("provider_request_id", "message_id"), "x" * 500)
    ledger.post([outcome(intent(user_agent="a\0b" * 200), error_code="e" * 99, **ids)])
    row = Entry.objects.get()
    assert (len(row.provider_request_id), len(row.message_id), len(row.error_code)) == (100, 100, 64)
    assert row.user_agent.startswith("abab")


def test_one_impossible_outcome_does_not_hold_up_the_others():
    good = [outcome(cost=cost) for cost in range(20)]
    impossible = outcome(cost=2**80)
    new, refused = ledger.post_each([*good[:7], impossible, *good[7:]])
    assert refused == [impossible]
    assert Entry.objects.count() == 20
    assert new <= set(Entry.objects.values_list("id", flat=True))


@pytest.mark.parametrize("statement", ["UPDATE usage_entry SET cost_nano = 0", "DELETE FROM usage_entry"])
def test_the_database_refuses_to_change_or_delete_an_entry(statement):
    ledger.post([outcome(cost=5)])
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Entry.objects.get().cost_nano == 5


@pytest.mark.parametrize("seed", range(4))
def test_counters_equal_the_rows_whatever_replicas_do(acme, seed):
    """Three replicas lease, spend (sometimes too much), return and die at random; after every step the sums hold."""
    dice = random.Random(seed)
    limit = dice.choice([300, 1_000, 5_000])
    found = budget(limit, tenant=acme)
    names = ["a", "b", "c"]
    grants, overrun, posted = {}, 0, []
    for _ in range(120):
        name = dice.choice(names)
        grant = grants.get(name)
        action = dice.random()
        if action < 0.3 or grant is None:
            grants[name] = lease(found, name, need=dice.randint(1, 60), replicas=dice.choice([2, 3]))
        elif action < 0.8:
            spent = outcome(intent(windows=(grant.window_id,), leases=(grant.lease_id,)), cost=dice.randint(0, 70))
            before = Lease.objects.get(pk=grant.lease_id)
            overrun += max(0, spent.cost - (before.granted - before.settled))
            posted.append(spent)
            ledger.post([spent] * dice.randint(1, 3))
        elif action < 0.9:
            least = Lease.objects.get(pk=grant.lease_id).settled + dice.randint(0, 30)
            windows.release({grant.lease_id: Keep(least, least)})
        else:
            windows.retire(name)
            del grants[name]
        _check(found, overrun=overrun, spent=sum(told.cost for told in posted))
    for name in names:
        windows.retire(name)
    assert standing(found) == (sum(told.cost for told in posted), 0)


def _check(found, *, overrun: int, spent: int) -> None:
    row = BudgetWindow.objects.get(budget=found)
    outstanding = sum(lease.granted - lease.settled for lease in Lease.objects.filter(window=row, is_open=True))
    assert row.settled == spent == sum(Entry.objects.values_list("high_nano", flat=True))
    assert row.held == outstanding
    assert row.overrun == overrun
    assert row.settled + row.held <= row.ceiling + overrun
