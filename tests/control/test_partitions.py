"""The ledger's months on PostgreSQL."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from apps.domain import ids
from apps.usage import ledger, partitions, tasks
from apps.usage.models import Entry
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db


def months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = 'usage_entry'::regclass"
        )
        return {name.removeprefix("usage_entry_") for (name,) in cursor.fetchall()}


def test_a_month_s_bounds_join_those_of_the_next():
    low, high = partitions.bounds(datetime(2026, 12, 1, tzinfo=UTC))
    assert ids.milliseconds(low) == datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000
    assert high == partitions.bounds(datetime(2027, 1, 1, tzinfo=UTC))[0]


@pytest.mark.sqlite
def test_on_sqlite_there_is_nothing_to_do():
    assert partitions.ensure(datetime.now(UTC)) == []
    tasks.ensure_partitions()


@pytest.mark.postgresql
def test_the_first_migration_made_this_month_and_those_ahead():
    now = datetime.now(UTC)
    ahead = {f"{(now.replace(day=15) + timedelta(days=30 * count)):%Y_%m}" for count in range(-1, 4)}
    assert ahead <= months()


@pytest.mark.postgresql
def test_months_are_made_once():
    then = datetime(2031, 12, 31, 23, 59, tzinfo=UTC)
    made = partitions.ensure(then, months_ahead=2)
    assert made == ["usage_entry_2031_11", "usage_entry_2031_12", "usage_entry_2032_01", "usage_entry_2032_02"]
    assert partitions.ensure(then, months_ahead=2) == []


@pytest.mark.postgresql
def test_every_month_is_looked_at_as_soon_as_a_fiftieth_of_it_is_new():
    partitions.ensure(datetime(2033, 5, 1, tzinfo=UTC), months_ahead=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reloptions FROM pg_class WHERE relname = ANY(%s)", [partitions.names()])
        told = dict(cursor.fetchall())
    assert "usage_entry_2033_05" in told
    assert {tuple(options) for options in told.values()} == {tuple(partitions.STORAGE.replace(" ", "").split(","))}


@pytest.mark.postgresql
def test_a_row_for_a_month_that_nobody_made_makes_it():
    assert "2019_03" not in months()
    for moment in (datetime(2019, 3, 1, tzinfo=UTC), datetime(2019, 3, 31, 23, 59, 59, tzinfo=UTC)):
        ledger.post([outcome(intent(at=moment.timestamp()), cost=3)])
    assert "2019_03" in months()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_entry_2019_03")
        assert cursor.fetchone() == (2,)


@pytest.mark.postgresql
def test_a_worker_that_was_away_for_months_is_not_missed():
    """One batch of rows from four months that nobody made, and then the worker comes back."""
    spring = [datetime(2041, month, 7, tzinfo=UTC) for month in (1, 2, 3, 5)]
    ledger.post([outcome(intent(at=moment.timestamp()), cost=3) for moment in spring for _ in range(2)])
    assert {f"{moment:%Y_%m}" for moment in spring} <= months()
    assert "2041_04" not in months()
    made = partitions.ensure(datetime(2041, 5, 20, tzinfo=UTC))
    assert made == [f"usage_entry_2041_{month:02}" for month in (4, 6, 7, 8)]
    assert Entry.objects.filter(started_at__year=2041).count() == 8


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_partition_that_another_process_makes_at_the_same_time_is_made_once():
    then = datetime(2042, 1, 9, tzinfo=UTC)
    with ThreadPoolExecutor(max_workers=4) as threads:
        found = list(threads.map(lambda _: _in_thread(then), range(4)))
    try:
        assert sorted(name for names in found for name in names) == ["usage_entry_2041_12", "usage_entry_2042_01"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE usage_entry_2041_12, usage_entry_2042_01")


def _in_thread(then: datetime) -> list[str]:
    try:
        return partitions.ensure(then, months_ahead=0)
    finally:
        connection.close()


@pytest.mark.postgresql
def test_a_partition_has_the_indexes_and_refuses_changes_itself():
    partitions.ensure(datetime(2033, 1, 5, tzinfo=UTC), months_ahead=0)
    ledger.post([outcome(intent(at=datetime(2033, 1, 5, tzinfo=UTC).timestamp()), cost=3)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'usage_entry_2033_01'")
        assert cursor.fetchone()[0] == len(Entry._meta.indexes) + 1
        for statement in (
            "UPDATE usage_entry_2033_01 SET cost_nano = 0",
            "DELETE FROM usage_entry_2033_01",
            "TRUNCATE usage_entry",
        ):
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                cursor.execute(statement)


@pytest.mark.postgresql
def test_a_query_for_an_hour_reads_one_month():
    partitions.ensure(datetime.now(UTC))
    low, high = partitions.bounds(datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    plan = Entry.objects.filter(id__gte=low, id__lt=high).order_by().explain()
    assert set(re.findall(r"usage_entry_\d{4}_\d\d", plan)) == {f"usage_entry_{datetime.now(UTC):%Y_%m}"}
