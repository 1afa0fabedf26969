"""Hourly rollups equal the ledger, whatever happens on the way."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from msgspec.structs import replace

from apps.domain import ids
from apps.runtime import failpoints
from apps.usage import append_only, ledger, rollups, selectors, tasks
from apps.usage.books.promises import key
from apps.usage.models import Entry, HourlyRollup, Kind, Watermark
from tests.control.ledgers import moment, plant
from tests.money.calls import hit, intent, outcome

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def post(*, at: datetime, count: int = 1, dice: random.Random | None = None, **fields) -> None:
    dice = dice or random.Random(1)
    subjects = {"user_id": dice.choice([None, 1]), "key_id": dice.choice([None, 2, 3]), "model_id": dice.choice([4, 5])}
    outcomes = [
        outcome(
            intent(at=at.timestamp(), tenant_id=dice.randint(1, 2), **subjects), cost=dice.randint(0, 10**6), **fields
        )
        for _ in range(count)
    ]
    ledger.post(outcomes)


def grouped() -> dict[tuple, tuple]:
    """The ledger by hour and subject, the slow and simple way."""
    found: dict[tuple, list[int]] = {}
    for entry in Entry.objects.all():
        hour = datetime.fromtimestamp(ids.milliseconds(entry.pk) / 1000, UTC).replace(minute=0, second=0, microsecond=0)
        sums = found.setdefault((hour, *(getattr(entry, name) for name in rollups.GROUP)), [0] * len(rollups.SUMS))
        has_tokens = entry.in_fresh + entry.in_cache_read + entry.out_total > 0
        is_call = entry.kind in (Kind.POST, Kind.UNCONFIRMED)
        told = (entry.kind == Kind.POST and has_tokens) or (
            entry.kind == Kind.CORRECTION and entry.usage_source != "none"
        )
        counts = {
            "calls": is_call,
            "errors": is_call and entry.status not in ("ok", "client_gone"),
            "unconfirmed": (entry.kind == Kind.UNCONFIRMED) - (entry.kind == Kind.CORRECTION),
            "unpriced": (told and entry.price_version is None)
            - (entry.kind == Kind.REPRICE and entry.error_code == "unpriced"),
            "latency_ms": entry.latency_ms * is_call,
            "hits": entry.cached is not None,
            "saved_nano": entry.saved_nano or 0,
            "saved_tokens": entry.saved_tokens or 0,
            "estimated": entry.kind in (Kind.POST, Kind.CORRECTION) and entry.usage_source == "estimated",
        }
        for index, name in enumerate(rollups.SUMS):
            sums[index] += counts[name] if name in counts else getattr(entry, name)
    return {key: tuple(sums) for key, sums in found.items()}


def rolled_up() -> dict[tuple, tuple]:
    return {
        (row.hour, *(getattr(row, name) for name in rollups.GROUP)): tuple(getattr(row, name) for name in rollups.SUMS)
        for row in HourlyRollup.objects.all()
    }


def test_rollups_equal_the_ledger_and_again_when_it_has_grown():
    dice = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    for round_ in range(4):
        for _ in range(15):
            at = NOON - timedelta(minutes=dice.randint(0, 60 * 24 * 3))
            status = dice.choice(["ok", "client_gone", "timeout"])
            post(at=at, dice=dice, count=dice.randint(1, 3), status=status, latency_ms=dice.randint(0, 999))
        post(at=NOON, state="unconfirmed", low=1, high=9)
        post(at=NOON, dice=dice)
        ledger.post([outcome(replace(intent(at=NOON.timestamp()), card=None))])
        ledger.post([hit(intent(at=NOON.timestamp()), saved=dice.randint(0, 10**6))])
        tasks.roll_up()
        assert rolled_up() == grouped(), f"round {round_}"
    assert HourlyRollup.objects.aggregate(cost=Sum("cost_nano")) == Entry.objects.aggregate(cost=Sum("cost_nano"))


def test_rolling_up_again_changes_nothing():
    post(at=NOON, count=20)
    rollups.roll_up()
    before = sorted(HourlyRollup.objects.values_list())
    rollups.roll_up()
    Watermark.objects.update(at=None)
    rollups.roll_up()
    assert sorted(HourlyRollup.objects.values_list()) == before


def test_how_far_it_is_behind_is_told_by_the_ledgers_newest_entry():
    assert rollups.lag() == 0
    post(at=NOON, count=3)
    rollups.roll_up()
    assert rollups.lag() == 0
    Watermark.objects.update(at=Watermark.objects.get().at - timedelta(minutes=5))
    assert rollups.lag() == 300


def test_a_row_that_comes_late_is_counted_in_the_hour_it_belongs_to():
    post(at=NOON)
    rollups.roll_up()
    post(at=NOON - timedelta(days=2))
    rollups.roll_up()
    assert rolled_up() == grouped()
    assert HourlyRollup.objects.filter(hour=NOON - timedelta(days=2)).count() == 1


@pytest.mark.parametrize(
    "place", ["before_commit:raise", "before_commit:raise:3", "between_hours:raise:2", "before_mark:raise"]
)
def test_a_run_that_dies_half_way_is_made_good_by_the_next(place):
    for back in range(5):
        post(at=NOON - timedelta(hours=back))
    failpoints.arm(f"rollup.{place}")
    try:
        with pytest.raises(failpoints.Failed):
            rollups.roll_up()
    finally:
        failpoints.arm("")
    assert Watermark.objects.get().at is None
    tasks.roll_up()
    tasks.roll_up()  # delivered twice
    assert rolled_up() == grouped()


def test_a_worker_that_was_away_for_months_catches_up_step_by_step():
    """And what it has done is done, should it be ended on the way."""
    for days in (0, 1, 40, 41, 90):
        post(at=NOON - timedelta(days=days), count=2)
    for entry in Entry.objects.all():
        plant("UPDATE usage_entry SET settled_at = %s WHERE id = %s", moment(entry.started_at), key(entry.pk))
    rollups.roll_up()
    HourlyRollup.objects.all().delete()
    Watermark.objects.update(at=None)
    failpoints.arm("rollup.before_mark:raise:45")
    try:
        with pytest.raises(failpoints.Failed):
            rollups.roll_up()
    finally:
        failpoints.arm("")
    assert Watermark.objects.get().at == NOON - timedelta(days=90 - 44)
    assert HourlyRollup.objects.filter(hour=NOON - timedelta(days=90)).exists()
    assert rolled_up() != grouped()
    rollups.roll_up()
    assert rolled_up() == grouped()
    assert Watermark.objects.get().at == NOON


def test_an_empty_ledger_has_nothing_to_roll_up():
    assert rollups.roll_up() == 0


# --- what pages read ----------------------------------------------------------------------------------------------


def test_the_overview_is_true_whether_or_not_anything_is_rolled_up():
    for minutes in (0, 30, 70, 300, 11 * 60, 13 * 60, 23 * 60):
        post(at=NOON + timedelta(minutes=45) - timedelta(minutes=minutes), status="timeout")
    now = NOON + timedelta(minutes=50)
    before = selectors.overview(now)
    rollups.roll_up()
    post(at=NOON + timedelta(minutes=49))
    after = selectors.overview(now)
    assert (before.today.calls, before.today.errors, after.today.calls) == (5, 5, 6)
    assert after.today.cost == sum(
        entry.cost_nano for entry in Entry.objects.filter(started_at__gte=NOON.replace(hour=0))
    )
    assert [hour.starts for hour in after.hours] == [NOON - timedelta(hours=23 - back) for back in range(24)]
    assert sum(hour.totals.calls for hour in after.hours) == 8
    assert after.hours[-1].totals.calls == 3


def test_the_overview_asks_little_of_a_ledger_that_is_rolled_up(django_assert_max_num_queries):
    for back in range(24):
        post(at=NOON - timedelta(hours=back), count=3)
    rollups.roll_up()
    Watermark.objects.update(at=NOON)
    with django_assert_max_num_queries(4):
        selectors.overview(NOON + timedelta(minutes=5))


def test_the_hours_are_read_by_id_and_not_by_scanning_the_ledger():
    post(at=NOON)
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute("SET enable_seqscan = off" if connection.vendor == "postgresql" else "SELECT 1")
        cursor.execute(
            f"{explain} SELECT SUM(cost_nano) FROM usage_entry WHERE id >= %s AND id < %s", rollups.bounds(NOON)
        )
        plan = str(cursor.fetchall())
    assert "SCAN usage_entry" not in plan
    assert "Seq Scan" not in plan


def test_what_was_taken_at_a_whole_second_is_rolled_up_too():
    """SQLite writes "12:07:01.000", and Django asks for "12:07:01", which comes before it."""
    post(at=NOON)
    append_only.unprotect(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_entry SET settled_at = '2026-11-21 12:07:01.000'")
    append_only.protect(connection)
    rollups.roll_up()
    assert HourlyRollup.objects.count() == 1
