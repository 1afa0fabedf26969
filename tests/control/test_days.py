"""Daily rollups equal the ledger, day by day of each tenant's own time zone, whatever happens on the way."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, connections
from msgspec.structs import replace

from apps.domain import ids
from apps.runtime import failpoints
from apps.tenants.models import Tenant
from apps.usage import days, ledger, rollups, sealing
from apps.usage.books import verify
from apps.usage.models import Calendar, DailyRollup, Entry, HourlyRollup, Level, StaleDay, Watermark
from tests import factories
from tests.control.ledgers import plant
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db

# The clock goes back in New York on that day, and in Kolkata days begin at half past an hour of UTC.
AUTUMN = datetime(2026, 11, 1, tzinfo=UTC)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu")
LATER = AUTUMN + timedelta(days=9)


@pytest.fixture
def tenants(db) -> list[Tenant]:
    return [factories.tenant(timezone=zone) for zone in ZONES]


def call(tenant: Tenant, at: datetime, dice: random.Random, **fields):
    whose = {"user_id": dice.choice([None, 1]), "key_id": dice.choice([2, 3]), "model_id": dice.choice([4, 5])}
    told = intent(at=at.timestamp(), tenant_id=tenant.pk, endpoint=dice.choice(["messages", "responses"]), **whose)
    return outcome(told, **{"cost": dice.randint(0, 10**6)} | fields)


def fill(tenants: list[Tenant], seed: int, *, count: int = 60) -> list:
    """Calls of four days, each with an amount of its own, some of which nobody knows the cost of."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        at = AUTUMN + timedelta(minutes=dice.randint(-36 * 60, 60 * 60))
        doubt = {"state": "unconfirmed", "low": 0, "high": 10**7, "usage_source": "none"}
        made.append(call(dice.choice(tenants), at, dice, **(doubt if dice.random() < 0.2 else {})))
    ledger.post(made)
    return [one for one in made if one.state == "unconfirmed"]


def roll_up() -> None:
    rollups.roll_up()
    days.roll_up(LATER)


def naive(level: Level) -> dict[tuple, list[int]]:
    """By day and group, straight from the ledger; calls, cost and high."""
    zones = dict(Tenant.objects.values_list("pk", "timezone"))
    found: dict[tuple, list[int]] = {}
    for entry in Entry.objects.all():
        arrived = datetime.fromtimestamp(ids.milliseconds(entry.pk) / 1000, UTC)
        zone = "UTC" if level in days.OF_ALL else zones[entry.tenant_id]
        group = (arrived.astimezone(ZoneInfo(zone)).date(), *(getattr(entry, name) for name in days.LEVELS[level]))
        sums = found.setdefault(group, [0, 0, 0])
        sums[0] += not entry.is_difference
        sums[1] += entry.cost_nano
        sums[2] += entry.high_nano
    return found


def rolled_up(level: Level) -> dict[tuple, list[int]]:
    rows = list(DailyRollup.objects.filter(level=level))
    found = {
        (row.day, *(getattr(row, name) for name in days.LEVELS[level])): [row.calls, row.cost_nano, row.high_nano]
        for row in rows
    }
    assert len(found) == len(rows), "a group is there twice"
    return found


def assert_true() -> None:
    for level in Level:
        assert rolled_up(level) == naive(level), level.name
    assert [finding for finding in verify.run().findings if finding.name == "days" and finding.violations] == []


def test_days_equal_the_ledger_in_every_time_zone(tenants):
    doubts = fill(tenants, 1)
    roll_up()
    assert not StaleDay.objects.exists()
    assert_true()
    fill(tenants, 2)
    truths = [replace(doubt, state="settled", cost=5, low=None, high=None) for doubt in doubts]
    ledger.post(truths)
    roll_up()
    assert_true()


def test_a_day_that_is_not_over_is_not_made(tenants):
    dice = random.Random(1)
    utc, new_york, *_ = tenants
    ledger.post([call(tenant, AUTUMN + timedelta(hours=1), dice) for tenant in (utc, new_york)])
    rollups.roll_up()
    days.roll_up(AUTUMN + timedelta(hours=5))  # 1 November in UTC, and an hour of it in New York
    assert set(DailyRollup.objects.filter(level=Level.FULL).values_list("tenant", "day")) == {
        (new_york.pk, date(2026, 10, 31))
    }
    assert set(StaleDay.objects.values_list("owner", flat=True)) >= {utc.pk, rollups.OF_ALL}


def test_only_the_days_of_whom_something_changed_are_made_again(tenants):
    tenants = tenants[:2]  # the others' hours have parts, which are always made anew
    fill(tenants, 3)
    roll_up()
    ledger.post([call(tenants[0], AUTUMN, random.Random(1))])
    rollups.roll_up()
    assert set(StaleDay.objects.values_list("owner", "day")) == {
        (tenants[0].pk, AUTUMN.date()),
        (rollups.OF_ALL, AUTUMN.date()),
    }
    assert [finding for finding in verify.run().findings if finding.name == "days" and finding.violations] == []
    assert days.roll_up(LATER) == 2
    assert_true()
    assert days.roll_up(LATER) == 0


def test_another_time_zone_means_other_days(tenants):
    fill(tenants, 4)
    roll_up()
    for tenant, zone in zip(tenants, reversed(ZONES), strict=True):
        Tenant.objects.filter(pk=tenant.pk).update(timezone=zone)
    days.roll_up(LATER)
    assert_true()
    Tenant.objects.update(timezone="UTC")
    fill(tenants, 5)
    roll_up()
    assert_true()
    assert {finding.name for finding in verify.run().findings if finding.violations} <= {"I1.negative", "I2.settled"}


def test_days_stay_when_their_hours_are_sealed(tenants):
    doubts = fill(tenants, 6)
    ledger.post([replace(doubt, state="settled", cost=5, low=None, high=None) for doubt in doubts])
    roll_up()
    before = {level: rolled_up(level) for level in Level}
    for month in (AUTUMN - timedelta(days=31), AUTUMN):
        assert sealing.seal(month)
    assert not Entry.objects.exists()
    days.roll_up(LATER)
    assert {level: rolled_up(level) for level in Level} == before
    Calendar.objects.all().delete()  # so that all are made again, of what is sealed
    days.roll_up(LATER)
    assert {level: rolled_up(level) for level in Level} == before
    ledger.post([call(tenants[0], AUTUMN, random.Random(1), cost=11)])
    roll_up()
    after = rolled_up(Level.TENANTS)
    group = (AUTUMN.date(), tenants[0].pk)
    assert after[group][1] == before[Level.TENANTS].get(group, [0, 0, 0])[1] + 11
    assert [finding.name for finding in verify.run().findings if finding.violations] == []


@pytest.mark.parametrize(
    "place", ["day_before_commit:raise", "day_before_commit:raise:3", "between_days:raise:2", "zone_adopted:raise:2"]
)
def test_a_run_that_dies_half_way_is_made_good_by_the_next(tenants, place):
    fill(tenants, 7)
    rollups.roll_up()
    failpoints.arm(f"rollup.{place}")
    try:
        with pytest.raises(failpoints.Failed):
            days.roll_up(LATER)
    finally:
        failpoints.arm("")
    assert [finding for finding in verify.run().findings if finding.name == "days" and finding.violations] == []
    days.roll_up(LATER)
    assert_true()


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_workers_that_race_make_the_same_days_as_one(tenants):
    fill(tenants, 8)

    def work() -> None:
        try:
            roll_up()
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    fill(tenants, 9, count=20)
    for worker in workers:
        worker.join(60)
    roll_up()
    assert_true()


def test_hours_from_before_endpoints_were_told_apart_are_computed_again(tenants):
    fill(tenants, 10)
    roll_up()
    plant("UPDATE usage_hourlyrollup SET endpoint = NULL, pinned_id = id, estimated = 0")
    Watermark.objects.update(at=max(Entry.objects.values_list("settled_at", flat=True)))
    assert "rollups" not in {finding.name for finding in verify.run().findings if finding.violations}
    roll_up()
    assert not HourlyRollup.objects.filter(endpoint=None).exists()
    assert {finding.name for finding in verify.run().findings if finding.violations} <= {"I2.settled"}
    assert_true()


@pytest.mark.parametrize("level", Level)
def test_a_day_that_is_off_is_named(tenants, level):
    fill(tenants, 11)
    roll_up()
    row = DailyRollup.objects.filter(level=level).latest("pk")
    plant("UPDATE usage_dailyrollup SET cost_nano = cost_nano + 2 WHERE id = %s", row.pk)
    (finding,) = [finding for finding in verify.run(tenant_id=row.tenant_id).findings if finding.name == "days"]
    assert finding.violations == 1
    assert f"{row.day}" in finding.offenders[0].id
    assert level.name in finding.offenders[0].id
    assert finding.offenders[0].found == "cost_nano +2"
    DailyRollup.objects.filter(pk=row.pk).delete()
    (finding,) = [finding for finding in verify.run().findings if finding.name == "days"]
    assert finding.violations == 1


def test_a_day_is_read_along_an_index(tenants):
    fill(tenants, 12)
    roll_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":  # whose planner reads so small a table whole
            cursor.execute("SET enable_seqscan = off")
    own = DailyRollup.objects.filter(tenant=tenants[0], level=Level.NARROW.value, day__gte=AUTUMN.date())
    assert "daily_by_tenant" in own.explain()
    key = DailyRollup.objects.filter(key=2, level=Level.FULL.value, day__gte=AUTUMN.date())
    assert "daily_by_" in key.explain()
