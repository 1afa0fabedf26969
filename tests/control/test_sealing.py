"""Old months: their totals stay, their rows go, the books stay true, and nothing is counted twice."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Sum

from apps.audit.models import Record
from apps.runtime import failpoints
from apps.usage import ledger, partitions, retention, rollups, sealing
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup, SealedHour, SealedMonth, SealedWindow
from tests.control.ledgers import USAGE, Books, plant, settle

NOW = datetime.now(UTC)
LAST_BUT_ONE = partitions.before(partitions.before(partitions.month_of(NOW)))
OLD = LAST_BUT_ONE + timedelta(days=10, hours=7)


@pytest.fixture
def books(db) -> Books:
    """An old month, with nothing left to find out, and the present one."""
    made = Books(at=OLD)
    made.fill()
    ledger.post([made.resolved(doubt) for doubt in [*made.doubts, made.doubt(at=NOW - timedelta(days=2))]])
    settle()
    assert true() == {}
    return made


def true() -> dict[str, list]:
    """Promises that do not hold."""
    return {finding.name: finding.offenders for finding in verify.run().findings if finding.violations}


def sums(*names: str) -> dict[str, int]:
    return {name: HourlyRollup.objects.aggregate(sum=Sum(name))["sum"] or 0 for name in names or rollups.SUMS}


def test_a_month_that_is_sealed_leaves_its_totals_and_no_rows(books):
    old = sealing.entries(LAST_BUT_ONE, partitions.after(LAST_BUT_ONE))
    before, rows, spent = sums(), old.count(), books.settled()
    cost = old.aggregate(sum=Sum("cost_nano"))["sum"]
    charged = old.aggregate(sum=Sum("high_nano"))["sum"]
    (sealed,) = retention.seal_due(NOW, months=1)
    assert (sealed.month, sealed.number, sealed.rows, sealed.cost_nano) == (LAST_BUT_ONE, 1, rows, cost)
    assert (sealed.rows_posted, sealed.rows_unconfirmed, sealed.rows_corrected) == (14, 2, 2)
    assert sealed.finished_at is not None
    assert SealedWindow.objects.get(seal=sealed, window=books.window.pk).high_nano == charged
    assert not old.exists()
    assert sums() == before
    assert books.settled() == spent
    assert true() == {}
    assert Entry.objects.count() == 1
    record = Record.objects.get(action="month.sealed")
    assert record.after == {"rows": rows, "cost_nano": cost}


def test_what_the_cache_saved_is_sealed_too(books):
    hour = rollups.hour_of(OLD)
    unsaid = sealing.digest_of(hour)
    (entry_id,) = ledger.post([books.hit(saved=4_000)])
    plant("UPDATE usage_entry SET saved_nano = 5000 WHERE cached = 1")
    changed = sealing.digest_of(hour)
    plant("UPDATE usage_entry SET saved_nano = 4000 WHERE cached = 1")
    assert len({one.digest for one in (unsaid, changed, sealing.digest_of(hour))}) == 3
    settle()
    (sealed,) = retention.seal_due(NOW, months=1)
    assert (sealed.hits, sealed.saved_nano, sealed.saved_tokens) == (1, 4_000, USAGE.total)
    assert true() == {}
    assert not Entry.objects.filter(pk=entry_id).exists()


@pytest.mark.postgresql
def test_the_partition_is_gone_and_comes_back_for_what_is_late(books):
    def is_there() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [partitions.name_of(LAST_BUT_ONE)])
            return cursor.fetchone()[0]

    assert is_there()
    sealing.seal(LAST_BUT_ONE)
    assert not is_there()
    ledger.post([books.call()])
    assert is_there()


def test_what_comes_late_is_recorded_and_sealed_under_the_next_number(books):
    sealing.seal(LAST_BUT_ONE)
    before = sums()
    late = books.call(at=OLD + timedelta(minutes=1))
    assert len(ledger.post([late])) == 1
    settle()
    assert sums("calls")["calls"] == before["calls"] + 1
    assert true() == {}
    second = sealing.seal(LAST_BUT_ONE)
    assert (second.number, second.rows, second.cost_nano) == (2, 1, late.cost)
    assert sums("calls")["calls"] == before["calls"] + 1
    assert true() == {}


def test_a_second_attempt_that_comes_late_leaves_no_hole(books):
    first = books.call()
    ledger.post([first])
    settle()
    sealing.seal(LAST_BUT_ONE)
    ledger.post([books.again(first)])
    settle()
    assert true() == {}


def test_what_is_sent_again_after_the_rows_are_gone_counts_once(books):
    doubt = books.doubt()
    call = books.call()
    ledger.post([call, doubt])
    ledger.post([books.resolved(doubt)])
    settle()
    sealing.seal(LAST_BUT_ONE)
    spent = books.settled()
    for again in (call, doubt, books.resolved(doubt)):
        assert ledger.post([again]) == set()
    new = books.call(at=OLD + timedelta(seconds=1))
    assert len(ledger.post([call, new])) == 1
    assert books.settled() == spent + new.cost
    settle()
    assert true() == {}


def test_a_month_with_something_left_to_find_out_is_kept(books, caplog):
    ledger.post([books.doubt(at=OLD + timedelta(days=3))])
    rows = Entry.objects.count()
    with pytest.raises(sealing.Refused, match="what 1 of its calls cost"):
        sealing.seal(LAST_BUT_ONE)
    assert retention.seal_due(NOW, months=1) == []
    assert "is not sealed" in caplog.text
    assert (Entry.objects.count(), SealedMonth.objects.count()) == (rows, 0)


def test_months_are_kept_for_as_long_as_somebody_said(books, settings):
    assert retention.due(NOW) == []
    settings.WEIR_RETENTION_MONTHS = 2
    assert retention.due(NOW) == []
    settings.WEIR_RETENTION_MONTHS = 1
    assert retention.due(NOW) == [LAST_BUT_ONE]
    assert retention.due(NOW, months=0) == [LAST_BUT_ONE]


def test_an_empty_month_is_nothing_to_seal(db):
    assert sealing.seal(LAST_BUT_ONE) is None
    assert retention.seal_due(NOW, months=1) == []


# --- killed in the middle -------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize("hours", [1, 2])
def test_a_run_that_is_killed_between_hours_is_finished_by_the_next(books, hours):
    before = sums()
    failpoints.arm(f"seal.between_hours:raise:{hours}")
    try:
        with pytest.raises(failpoints.Failed):
            sealing.seal(LAST_BUT_ONE)
    finally:
        failpoints.arm("")
    assert SealedHour.objects.count() == hours
    assert SealedMonth.objects.get().finished_at is None
    assert true() == {}
    ledger.post([books.call()])  # of an hour that is sealed already
    settle()
    assert true() == {}
    assert sealing.seal(LAST_BUT_ONE).number == 2  # for the hour that is there twice
    assert not SealedMonth.objects.filter(finished_at=None).exists()
    assert sums("calls")["calls"] == before["calls"] + 1
    assert true() == {}


@pytest.mark.postgresql
def test_a_run_that_is_killed_has_done_nothing(books, monkeypatch):
    rows = Entry.objects.count()

    def dies(month: datetime, *, rows: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sealing, "_drop", dies)
    with pytest.raises(KeyboardInterrupt):
        sealing.seal(LAST_BUT_ONE)
    assert (Entry.objects.count(), SealedMonth.objects.count(), SealedHour.objects.count()) == (rows, 0, 0)
    assert true() == {}


@pytest.mark.sqlite
def test_the_ledger_is_guarded_again_when_its_hours_are_gone(books):
    sealing.seal(LAST_BUT_ONE)
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Entry.objects.all().delete()


# --- broken seals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promise", "statement"),
    [
        *[("sealed.totals", f"UPDATE usage_sealedmonth SET {column} = {column} + 1") for column in rollups.SUMS],
        ("sealed.totals", "UPDATE usage_hourlyrollup SET cost_nano = cost_nano + 1 WHERE seal_id IS NOT NULL"),
        ("sealed.hours", "UPDATE usage_sealedmonth SET rows = rows - 1"),
        ("sealed.hours", "UPDATE usage_sealedmonth SET rows_posted = rows_posted - 1"),
        ("sealed.hours", "UPDATE usage_sealedmonth SET digest = 'f00'"),
        ("sealed.hours", "UPDATE usage_sealedhour SET rows = rows + 1"),
        ("sealed.hours", "DELETE FROM usage_sealedhour"),
        ("I2.settled", "UPDATE usage_sealedwindow SET high_nano = high_nano - 1"),
    ],
)
def test_a_seal_that_was_tampered_with_is_named(books, promise, statement):
    sealing.seal(LAST_BUT_ONE)
    plant(statement)
    assert promise in true()


def test_a_row_that_is_sealed_and_there_all_the_same_is_named(books):
    call = books.call()
    ledger.post([call])
    settle()
    sealing.seal(LAST_BUT_ONE)
    plant("UPDATE usage_sealedhour SET hour = hour")  # nothing, but for the list of ids below
    ids, rows = zip(*SealedHour.objects.values_list("ids", "rows"), strict=True)
    SealedHour.objects.update(ids=b"", rows=0)
    ledger.post([call])
    for hour, kept, number in zip(SealedHour.objects.all(), ids, rows, strict=True):
        SealedHour.objects.filter(pk=hour.pk).update(ids=kept, rows=number)
    assert [offender.id for offender in true()["sealed.twice"]] == [str(ledger.entry_id(call))]


# --- the command ----------------------------------------------------------------------------------------------------


def seal(**options) -> str:
    out = StringIO()
    call_command("ledger_seal", stdout=out, stderr=out, **options)
    return out.getvalue()


def test_the_rows_are_written_out_before_they_go(books, tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    before = {str(row.pk): row.cost_nano for row in sealing.entries(LAST_BUT_ONE, partitions.after(LAST_BUT_ONE))}
    assert f"{LAST_BUT_ONE:%Y-%m}: {len(before)} rows sealed" in seal(keep=1, export=path)
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    assert {row["id"]: row["cost_nano"] for row in rows} == before
    assert set(rows[0]) == {field.attname for field in Entry._meta.concrete_fields}
    assert list(tmp_path.iterdir()) == [path]
    assert true() == {}


def test_a_file_that_is_there_is_not_written_over(books, tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.touch()
    with pytest.raises(CommandError, match="is there already"):
        seal(keep=1, export=path)
    assert not SealedMonth.objects.exists()


def test_rows_that_came_after_they_were_written_out_are_not_dropped(books, tmp_path):
    exported = retention.export([LAST_BUT_ONE], tmp_path / "rows.jsonl.gz")
    ledger.post([books.call()])
    with pytest.raises(sealing.Refused, match="write them out again"):
        sealing.seal(LAST_BUT_ONE, exported=exported)


def test_the_command_tells_what_it_would_do_and_what_it_cannot(books):
    assert f"{LAST_BUT_ONE:%Y-%m}" in seal(keep=1, dry_run=True)
    assert Entry.objects.count() > 10
    with pytest.raises(CommandError, match="WEIR_RETENTION_MONTHS"):
        seal()
    with pytest.raises(CommandError, match="not been over for a month"):
        seal(month=partitions.month_of(NOW))
    ledger.post([books.doubt()])
    with pytest.raises(CommandError, match=f"Not sealed: {LAST_BUT_ONE:%Y-%m}"):
        seal(month=LAST_BUT_ONE)
    assert seal(keep=400) == "Nothing to seal.\n"


def test_what_is_no_month_is_told_in_a_line(db):
    with pytest.raises(CommandError, match="“2026-13” is not like 2026-01"):
        call_command("ledger_seal", "--month", "2026-13")
