"""True books are found true, and whatever is planted in them is named."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from apps.domain import ids
from apps.quotas.models import Gap
from apps.usage import ledger, repricing, rollups
from apps.usage.books import promises, verify
from apps.usage.models import Entry, HourlyRollup
from tests import factories
from tests.control.ledgers import Books, moment, plant, settle, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def books(db) -> Books:
    made = Books()
    made.fill()
    return made


def broken(**options) -> dict[str, list[promises.Offender]]:
    """The promises that do not hold, with their offenders."""
    report = verify.run(**options)
    found = {finding.name: finding.offenders for finding in report.findings if finding.violations}
    assert bool(report.violations) == bool(found)
    return found


def key(identifier: uuid.UUID):
    return promises.key(identifier)


def test_true_books_are_found_true_and_everything_was_looked_at(books):
    report = verify.run()
    assert report.violations == 0, [finding for finding in report.findings if finding.violations]
    checked = {finding.name: finding.checked for finding in report.findings}
    assert checked["I3.range"] == 16
    assert checked["I3.sums"] == 16
    assert checked["I3.certain"] == 1
    assert checked["I3.void"] == 1
    assert checked["I5.repriced"] == 1
    assert checked["I5.identity"] == 17
    assert checked["I5.price"] == 12
    assert checked["I6.attempts"] == 15
    assert (checked["I2.settled"], checked["I2.held"], checked["I4.gone"]) == (1, 1, 1)
    assert checked["rollups"] >= 4
    assert checked["append-only"] >= 1


def test_rows_of_this_minute_are_true_too(books):
    """Rollups lag, and attempts may be on their way: neither is untrue."""
    first = books.call(at=datetime.now(UTC))
    ledger.post([books.again(first)])
    assert broken() == {}


# --- budgets --------------------------------------------------------------------------------------------------------


def constraint(table: str, name: str) -> None:
    """Lets in what the database itself refuses."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        else:
            cursor.execute("PRAGMA ignore_check_constraints = ON")


@pytest.fixture
def _checked_again():
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def test_more_spent_than_the_ceiling_allows_is_named(books):
    plant("UPDATE quotas_budgetwindow SET ceiling = 5 WHERE id = %s", books.window.pk)
    books.window.refresh_from_db()
    (offender,) = broken()["I1.ceiling"]
    total = books.window.settled + books.window.held
    assert offender == promises.Offender(str(books.window.pk), "5", str(total))


def test_an_overrun_that_is_known_is_no_violation(books):
    plant("UPDATE quotas_budgetwindow SET ceiling = 5, overrun = %s WHERE id = %s", 10**12, books.window.pk)
    assert broken() == {}


@pytest.mark.usefixtures("_checked_again")
@pytest.mark.parametrize("column", ["overrun", "credit", "held", "settled"])
def test_a_window_below_zero_is_named(books, column):
    constraint("quotas_budgetwindow", f"window_{column}_not_negative")
    plant(f"UPDATE quotas_budgetwindow SET {column} = -1 WHERE id = %s", books.window.pk)
    assert promises.Offender(str(books.window.pk), "0", "-1") in broken()["I1.negative"]


@pytest.mark.usefixtures("_checked_again")
def test_a_lease_that_spent_more_than_it_got_is_named(books):
    constraint("quotas_lease", "lease_covers_what_it_settled")
    plant("UPDATE quotas_lease SET settled = granted + 1 WHERE id = %s", books.lease.pk)
    found = broken()
    assert found["I1.lease"][0].id == str(books.lease.pk)
    assert "I2.held" in found


def test_a_window_that_counted_otherwise_than_its_rows_is_named(books):
    plant("UPDATE quotas_budgetwindow SET settled = settled + 3 WHERE id = %s", books.window.pk)
    (offender,) = broken()["I2.settled"]
    assert int(offender.found) == int(offender.expected) + 3


def test_a_row_that_no_window_counted_is_named(books):
    plant("UPDATE usage_entry SET windows = '[]' WHERE id = %s", key(Entry.objects.filter(kind=1).first().pk))
    assert "I2.settled" in broken()


def test_rows_of_a_budget_that_is_gone_are_nobody_s(books):
    books.budget.delete()
    assert broken() == {}


def test_a_hold_without_a_lease_is_named(books):
    plant("UPDATE quotas_budgetwindow SET held = held + 7 WHERE id = %s", books.window.pk)
    (offender,) = broken()["I2.held"]
    assert int(offender.found) == int(offender.expected) + 7


def test_credit_that_no_lease_was_lent_is_named(books):
    plant("UPDATE quotas_budgetwindow SET credit = 7 WHERE id = %s", books.window.pk)
    assert broken()["I2.credit"] == [promises.Offender(str(books.window.pk), "0", "7")]


@pytest.mark.parametrize(
    ("change", "ago"),
    [("fenced_at = %s", timedelta(minutes=71)), ("fenced_at = NULL, heartbeat = %s", timedelta(hours=25))],
)
def test_the_hold_of_a_replica_that_is_gone_is_named(books, change, ago):
    at = moment(datetime.now(UTC) - ago)
    plant(f"UPDATE quotas_replica SET {change} WHERE id = %s", at, books.replica.pk)
    assert [offender.id for offender in broken()["I4.gone"]] == [str(books.lease.pk)]


@pytest.mark.parametrize(
    ("change", "ago"),
    [("fenced_at = %s", timedelta(minutes=12)), ("fenced_at = NULL, heartbeat = %s", timedelta(hours=9))],
)
def test_a_hold_in_quarantine_is_no_violation(books, change, ago):
    at = moment(datetime.now(UTC) - ago)
    plant(f"UPDATE quotas_replica SET {change} WHERE id = %s", at, books.replica.pk)
    assert broken() == {}


def test_a_hold_of_a_period_that_is_over_under_an_old_epoch_is_named(books):
    over = [moment(datetime.now(UTC) - timedelta(days=days)) for days in (9, 2)]
    plant("UPDATE quotas_budgetwindow SET starts = %s, ends = %s WHERE id = %s", *over, books.window.pk)
    assert "I4.ended" not in broken()
    plant("UPDATE quotas_replica SET epoch = 2 WHERE id = %s", books.replica.pk)
    assert [offender.id for offender in broken()["I4.ended"]] == [str(books.lease.pk)]


# --- rows -----------------------------------------------------------------------------------------------------------

Plant = tuple[str, str, str]
ROWS: list[Plant] = [
    ("I3.range", "kind = 1", "low_nano = cost_nano + 1"),
    ("I3.range", "kind = 2", "high_nano = cost_nano - 1"),
    ("I3.range", "kind = 1 AND state = 'settled'", "low_nano = -1"),
    ("I3.counters", "kind = 1", "in_cache_read = -1"),
    ("I3.counters", "kind = 1", "out_reasoning = out_total + 1"),
    ("I3.void", "state = 'void'", "high_nano = 1"),
    ("I3.cached", "kind = 1", "saved_nano = 1"),
    ("I3.cached", "kind = 1 AND state = 'settled'", "cached = 1, saved_nano = 5, saved_tokens = 5"),
    ("I3.cached", "state = 'void'", "cached = 1, saved_nano = NULL, saved_tokens = 5"),
    ("I3.overrun", "kind = 1", "overrun_nano = 1"),
    ("I3.overrun", "kind = 1 AND state = 'settled'", "reserved_nano = 0"),
    ("I3.sums", "kind = 3", "cost_nano = -999999999"),
    ("I3.sums", "kind = 3", "out_total = -1"),
    ("I3.certain", "kind = 3", "high_nano = high_nano + 1"),
    ("I5.price", "usage_source = 'provider' AND kind = 1", "cost_nano = cost_nano + 1"),
    ("I5.price", "usage_source = 'provider' AND kind = 1", "in_cache_write_5m = in_cache_write_5m + 1"),
    ("I5.identity", "kind = 1", "attempt = 2"),
    ("I5.identity", "kind = 3", "kind = 4"),
    ("I5.closes", "kind = 2 AND low_nano = 0", "kind = 1"),
    ("I5.repriced", "kind = 3", "cost_nano = cost_nano + 1, low_nano = low_nano + 1, high_nano = high_nano + 1"),
    ("I5.repriced", "kind = 2 AND high_nano = 5000", "in_fresh = 3"),
    ("I5.first", "kind = 1", "kind = 4"),
    ("I6.attempts", "kind = 1 AND state = 'void'", "attempt = 3"),
]


@pytest.mark.parametrize(("promise", "which", "change"), ROWS)
def test_a_row_that_was_tampered_with_is_named(books, promise, which, change):
    before = set(Entry.objects.extra(where=[which]).values_list("pk", flat=True))
    assert before
    plant(f"UPDATE usage_entry SET {change} WHERE {which}")
    offenders = broken()[promise]
    assert offenders
    requests = {ids.request_of(identifier) for identifier in before}
    assert {ids.request_of(uuid.UUID(offender.id.partition("/")[0])) for offender in offenders} <= requests


def test_an_id_of_another_request_is_named(books):
    other = ids.request_id(now_ms=int(books.at.timestamp() * 1000), random_bits=5)
    plant("UPDATE usage_entry SET request_id = %s WHERE kind = 1 AND state = 'void'", key(other))
    assert len(broken()["I5.identity"]) == 1


def copy(where: str, identifier: Callable[[uuid.UUID], uuid.UUID], **columns) -> None:
    """Another row like the first that is found, under another id."""
    found = Entry.objects.extra(where=[where]).order_by("pk").values().first()
    row = Entry(**found | {"id": identifier(found["id"])} | columns)
    with unguarded():
        row.save(force_insert=True)


def test_a_second_first_record_is_named(books):
    copy("kind = 1 AND high_nano > 0", lambda entry: ids.in_slot(entry, slot=5))
    found = broken()
    assert len(found["I5.first"]) == 1
    assert {"I5.identity", "rollups", "I2.settled"} <= set(found)


def test_a_correction_of_a_settled_call_is_named(books):
    copy("kind = 1", lambda entry: ids.in_slot(entry, slot=2), kind=3, cost_nano=0, low_nano=0, high_nano=0)
    assert len(broken()["I5.closes"]) == 1


def test_a_repricing_of_nothing_is_named(books):
    copy(
        "kind = 1", lambda entry: ids.in_slot(uuid.UUID(int=entry.int + 1), slot=3),
        kind=4, request_id=uuid.uuid4(),
    )  # fmt: skip
    assert len(broken()["I5.first"]) == 1


def test_a_repricing_that_is_off_is_named(books):
    """At twice the price, then with a unit more."""
    later = books.at - timedelta(hours=1)
    factories.price(books.price.deployment, input=2 * 3_000_000_007, effective_from=later, is_correction=True)
    report = repricing.reprice([books.price.deployment_id], since=later)
    assert report.attempts >= 10
    assert Entry.objects.filter(kind=4).count() >= 10
    settle()
    assert broken() == {}
    plant("UPDATE usage_entry SET cost_nano = cost_nano + 1, high_nano = high_nano + 1 WHERE id = %s", a_repricing())
    plant("UPDATE quotas_budgetwindow SET settled = settled + 1 WHERE id = %s", books.window.pk)
    assert set(broken()) == {"I5.repriced", "rollups"}


def a_repricing():
    return key(Entry.objects.filter(kind=4).latest("pk").pk)


def test_a_hole_that_a_lost_disk_left_is_no_violation(books):
    plant("DELETE FROM usage_entry WHERE state = 'void'")
    rollups.compute(rollups.hour_of(books.at))
    assert set(broken()) == {"I6.attempts"}
    day_after = books.at + timedelta(hours=3)
    Gap.objects.create(replica="lost", lease=1, window=books.window, amount=5, noticed_at=day_after)
    report = verify.run()
    assert (report.violations, report.gap_nano) == (0, 5)
    requests = Entry.objects.values("request_id").distinct().count()
    assert (report.unchecked.days, report.unchecked.requests) == (1, requests)


# --- sums -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", list(rollups.SUMS))
def test_a_rollup_that_is_off_in_any_column_is_named(books, column):
    plant(f"UPDATE usage_hourlyrollup SET {column} = {column} + 2 WHERE id = %s", HourlyRollup.objects.latest("pk").pk)
    (offender,) = broken()["rollups"]
    assert offender.found == f"{column} +2"


def test_a_rollup_that_is_missing_or_too_many_is_named(books):
    row = HourlyRollup.objects.latest("pk")
    plant("UPDATE usage_hourlyrollup SET hour = %s WHERE id = %s", moment(row.hour - timedelta(days=40)), row.pk)
    hours = {offender.id.partition(" ")[0] for offender in broken()["rollups"]}
    assert hours == {f"{hour:%Y-%m-%dT%H:00}Z" for hour in (row.hour, row.hour - timedelta(days=40))}


def test_rows_that_are_not_rolled_up_yet_are_no_violation(books):
    ledger.post([books.call()])
    assert broken() == {}


def test_a_ledger_that_anybody_could_change_is_named(books):
    with unguarded():
        found = broken()["append-only"]
    assert {"usage_entry"} <= {offender.id for offender in found}
    assert broken() == {}


@pytest.mark.postgresql
def test_one_partition_that_anybody_could_change_is_named(books):
    name = f"usage_entry_{datetime.now(UTC):%Y_%m}"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    assert [offender.id for offender in broken()["append-only"]] == [name]


@pytest.mark.postgresql
def test_a_partition_that_holds_what_others_should_is_named(books):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE usage_entry_rest PARTITION OF usage_entry DEFAULT")
    assert broken()["partitions"] == [promises.Offender("usage_entry_rest", "no such partition", "DEFAULT")]


# --- parts of the books ---------------------------------------------------------------------------------------------


def test_of_one_tenant_only_its_own_is_looked_at(books):
    other = Books()
    other.fill()
    plant("UPDATE usage_entry SET low_nano = -1 WHERE tenant_id = %s AND kind = 1", other.tenant.pk)
    plant("UPDATE quotas_budgetwindow SET held = held + 1 WHERE id = %s", other.window.pk)
    assert broken(tenant_id=books.tenant.pk) == {}
    assert {"I3.range", "I2.held"} <= set(broken(tenant_id=other.tenant.pk))


def test_of_a_time_the_rows_since_then_are_looked_at(books):
    old = Books(at=books.at - timedelta(days=20))
    old.fill()
    plant("UPDATE usage_entry SET low_nano = -1 WHERE tenant_id = %s AND kind = 1", old.tenant.pk)
    plant("UPDATE quotas_budgetwindow SET settled = settled + 1 WHERE id = %s", old.window.pk)
    assert broken(since=books.at - timedelta(days=2)) == {}
    assert broken(quick=True) == {}
    assert {"I3.range", "I2.settled"} <= set(broken())
