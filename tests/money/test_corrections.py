"""One first record an attempt: whatever comes twice, late, or in the other order, the rows sum up to the truth."""

from __future__ import annotations

import importlib
import logging
import random
import threading
import time

import msgspec
import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from msgspec.structs import replace

from apps.domain import ids
from apps.domain.tokens import TokenUsage
from apps.quotas import windows
from apps.quotas.models import BudgetWindow, Lease
from apps.usage import append_only, ledger, pages
from apps.usage.models import Entry, Kind
from apps.usage.records import Outcome
from tests import factories
from tests.money.books import budget, rule, standing
from tests.money.calls import intent, outcome

RESERVED = 100


@pytest.fixture
def acme(db):
    return factories.tenant("Acme")


def lease(of, name: str = "replica"):
    ask = windows.Ask(rule=rule(of), need=1, demand=1, unit=1)
    (grant,) = windows.acquire([ask], replica=name, epoch=windows.register(name), now=time.time(), replicas=None)
    return grant


def held(*grants):
    return intent(
        windows=tuple(grant.window_id for grant in grants),
        leases=tuple(grant.lease_id for grant in grants),
        reserved=RESERVED,
    )


def doubt(of):
    usage = TokenUsage(in_fresh=100, out_total=2)
    told = outcome(of, state="unconfirmed", status="interrupted", cost=40, low=10, high=RESERVED, usage=usage)
    return replace(told, usage_source="estimated", http_status=None)


def totals() -> dict[str, int]:
    """Over all rows."""
    names = ("in_fresh", "out_total", "cost_nano", "low_nano", "high_nano", "overrun_nano")
    return Entry.objects.aggregate(**{name: Sum(name) for name in names})


def kinds() -> list[int]:
    return sorted(Entry.objects.values_list("kind", flat=True))


def test_the_truth_of_an_unconfirmed_is_its_correction(acme):
    found = budget(1_000, tenant=acme)
    attempt = held(lease(found))
    (doubtful,) = ledger.post([doubt(attempt)])
    assert standing(found) == (100, 900)
    truth = outcome(attempt, cost=70, stop_reason="end_turn", latency_ms=5, provider_request_id="msg_1")
    (correction,) = ledger.post([truth])
    row = Entry.objects.get(pk=correction)
    assert correction == ids.in_slot(doubtful, slot=2)
    assert (row.kind, row.state, row.status, row.stop_reason) == (Kind.CORRECTION, "settled", "ok", "end_turn")
    assert (row.cost_nano, row.low_nano, row.high_nano, row.reserved_nano) == (30, 60, -30, 0)
    assert (row.in_fresh, row.out_total, row.usage_source) == (-90, 3, "provider")
    assert (row.latency_ms, row.http_status, row.provider_request_id) == (5, 200, "msg_1")
    assert row.windows == Entry.objects.get(pk=doubtful).windows
    assert totals() == {
        "in_fresh": 10,
        "out_total": 5,
        "cost_nano": 70,
        "low_nano": 70,
        "high_nano": 70,
        "overrun_nano": 0,
    }
    assert standing(found) == (70, 930)


def test_a_correction_goes_back_to_the_lease_while_that_is_open_and_to_the_window_afterwards(acme):
    found = budget(1_000, tenant=acme)
    grant = lease(found)
    first, second = held(grant), held(grant)
    ledger.post([doubt(first), doubt(second)])
    ledger.post([outcome(first, cost=30)])
    assert Lease.objects.get(pk=grant.lease_id).settled == 130
    windows.retire("replica")
    ledger.post([outcome(second, cost=50)])
    assert standing(found) == (80, 0)


def test_a_truth_above_all_that_was_reserved_is_recorded_whole(acme):
    found = budget(1_000, tenant=acme)
    attempt = held(lease(found))
    ledger.post([doubt(attempt)])
    ledger.post([outcome(attempt, cost=140)])
    assert totals()["overrun_nano"] == 40
    assert standing(found) == (140, 860)


def test_an_attempt_whose_model_never_ran_is_void_after_all(acme):
    found = budget(1_000, tenant=acme)
    attempt = held(lease(found))
    ledger.post([doubt(attempt)])
    void = outcome(attempt, state="void", status="upstream_error", usage=TokenUsage(), usage_source="none")
    ledger.post([void])
    assert Entry.objects.get(kind=Kind.CORRECTION).state == "void"
    assert set(totals().values()) == {0}
    assert standing(found) == (0, 1_000)


def test_an_unconfirmed_that_meets_the_truth_is_nothing(acme):
    found = budget(1_000, tenant=acme)
    attempt = held(lease(found))
    assert len(ledger.post([outcome(attempt, cost=70)])) == 1
    assert ledger.post([doubt(attempt)]) == set()
    assert kinds() == [Kind.POST]
    assert standing(found) == (70, 930)


def test_of_one_batch_that_holds_both_only_the_truth_is_recorded(acme):
    found = budget(1_000, tenant=acme)
    attempt = held(lease(found))
    ledger.post([doubt(attempt), outcome(attempt, cost=70), doubt(attempt)])
    assert kinds() == [Kind.POST]
    assert standing(found) == (70, 930)


def test_what_is_new_costs_no_query_more_than_it_did(acme, django_assert_num_queries):
    grant = lease(budget(10_000, tenant=acme))
    batch = [outcome(held(grant), cost=1) for _ in range(3)]
    with django_assert_num_queries(_usual()):
        ledger.post([*batch, doubt(held(grant))])
    again = doubt(held(grant))
    ledger.post([again])
    with django_assert_num_queries(_usual() - 5):  # neither looked up nor charged nor told
        ledger.post([again])


def _usual() -> int:
    """Savepoint and release, the insert (after a look on SQLite), who wants to hear of it, and what charging a window
    and a lease takes."""
    return 2 + (1 if connection.vendor == "postgresql" else 2) + 1 + 4


def test_a_storm_of_duplicates_in_any_order_out_of_old_journals_counts_once(acme):
    """Truths and doubts of the same attempts, each sent up to five times, and all again a month later."""
    dice = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    budgets = [budget(10**9, tenant=acme), budget(10**9, tenant=acme, period="day")]
    grants = [lease(found) for found in budgets]
    attempts = [held(*dice.sample(grants, dice.randint(0, 2))) for _ in range(60)]
    truths = {attempt: dice.choice([None, 0, 30, 70, 250]) for attempt in attempts}
    said = [doubt(attempt) for attempt, cost in truths.items() if cost is None or dice.random() < 0.6]
    said += [outcome(attempt, cost=cost) for attempt, cost in truths.items() if cost is not None]
    old = _journalled(said)
    _storm(said, dice)
    windows.retire("replica")
    first = Entry.objects.count()
    _storm(old, dice)
    assert Entry.objects.count() == first
    for attempt, cost in truths.items():
        rows = Entry.objects.filter(request_id=attempt.request_id)
        assert rows.filter(kind__in=(Kind.POST, Kind.UNCONFIRMED)).count() == 1
        sums = rows.aggregate(cost=Sum("cost_nano"), low=Sum("low_nano"), high=Sum("high_nano"))
        assert sums == ({"cost": 40, "low": 10, "high": 100} if cost is None else dict.fromkeys(sums, cost))
    _assert_charged(budgets)


def _storm(said, dice) -> None:
    sendings = [told for told in said for _ in range(dice.randint(1, 5))]
    dice.shuffle(sendings)
    while sendings:
        batch, sendings = sendings[: (size := dice.randint(1, 40))], sendings[size:]
        for _ in range(dice.randint(1, 2)):
            ledger.post(batch)


def _journalled(said):
    """As they come out of a journal that lay about for a month."""
    return [msgspec.msgpack.decode(pages.encoder.encode(told), type=Outcome) for told in said]


def _assert_charged(budgets) -> None:
    """Each window holds the sum of all rows that name it."""
    rows = list(Entry.objects.values_list("windows", "high_nano"))
    for found in budgets:
        window = BudgetWindow.objects.get(budget=found)
        assert window.settled == sum(high for named, high in rows if window.pk in named)
        assert window.held == 0


def test_a_truth_that_comes_after_a_resolution_is_told_in_the_log(acme, caplog):
    attempt = held()
    ledger.post([doubt(attempt)])
    ledger.post([outcome(attempt, cost=0)])
    with caplog.at_level(logging.WARNING):
        assert ledger.post([outcome(attempt, cost=0)]) == set()
        assert not caplog.records
        assert ledger.post([outcome(attempt, cost=70)]) == set()
    assert "70 nano-USD off" in caplog.text


@pytest.mark.parametrize("seed", range(3))
def test_two_that_say_the_opposite_at_once_agree(transactional_db, seed):
    """One knows that nobody knows, the other knows: in opposite orders, batch after batch, at the same moment."""
    tenant = factories.tenant("Acme")
    budgets = [budget(10**9, tenant=tenant), budget(10**9, tenant=tenant, period="day")]
    grants = [lease(found) for found in budgets]
    attempts = [held(*grants) for _ in range(40)]
    doubts, truths = [doubt(attempt) for attempt in attempts], [outcome(attempt, cost=30) for attempt in attempts]
    start, failures = threading.Barrier(4), []

    def post(batches) -> None:
        try:
            start.wait()
            for batch in batches:
                ledger.post(batch)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    dice = random.Random(seed)
    threads = [threading.Thread(target=post, args=(_batches(told, dice),)) for told in (doubts, truths) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert Entry.objects.exclude(kind=Kind.CORRECTION).count() == 40
    assert Entry.objects.filter(kind=Kind.CORRECTION).count() == Entry.objects.filter(kind=Kind.UNCONFIRMED).count()
    assert totals()["high_nano"] == totals()["low_nano"] == 40 * 30
    windows.retire("replica")
    _assert_charged(budgets)


def _batches(said, dice):
    said = dice.sample(said, len(said))
    return [said[first : first + 8] for first in range(0, len(said), 8)]


def test_what_an_earlier_version_left_unconfirmed_becomes_the_first_entry(acme):
    """It had the id that is a resolution's now."""
    migration = importlib.import_module("apps.usage.migrations.0004_one_first_record")
    attempt, other = held(), held()
    (first,) = ledger.post([doubt(attempt)])
    (known,) = ledger.post([outcome(other, cost=5)])
    append_only.unprotect(connection)
    Entry.objects.filter(pk=first).update(id=ids.in_slot(first, slot=2))
    append_only.protect(connection)
    migration.renumber(Entry, connection)
    assert set(Entry.objects.values_list("pk", flat=True)) == {first, known}
    ledger.post([outcome(attempt, cost=70)])
    assert totals()["high_nano"] == 75
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Entry.objects.filter(pk=first).update(cost_nano=0)
