"""The command, and that its one reading is of one moment and in nobody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from apps.quotas.models import BudgetWindow, Gap
from apps.usage import ledger, sealing
from apps.usage.books import verify
from apps.usage.models import Entry
from tests.control.ledgers import Books, plant
from tests.control.test_sealing import LAST_BUT_ONE, OLD
from tests.money.books import in_thread, run


@pytest.fixture
def books(db) -> Books:
    made = Books()
    made.fill()
    return made


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def told(*arguments: str, **options) -> tuple[int, str]:
    """Exit status and output."""
    out = StringIO()
    try:
        call_command("ledger_verify", *arguments, stdout=out, stderr=StringIO(), **options)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_true_books_end_with_nought_and_a_line_for_every_promise(books):
    status, text = told()
    assert status == 0
    lines = text.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-2])
    assert {line.split()[1] for line in lines[:-2]} >= {
        "I1.ceiling",
        "I2.settled",
        "I5.price",
        "rollups",
        "append-only",
    }
    assert lines[-1].startswith("The books are true: ")


def test_broken_books_end_with_one_and_name_the_offenders_with_both_numbers(books):
    plant("UPDATE quotas_budgetwindow SET held = held + 7 WHERE id = %s", books.window.pk)
    books.window.refresh_from_db()
    status, text = told()
    assert status == 1
    assert f"{books.window.pk}: {books.window.held}, where {books.window.held - 7} should be" in text
    assert "NOT TRUE: 1 violations in " in text


def test_many_offenders_are_counted_and_ten_of_them_are_shown(books):
    plant("UPDATE usage_entry SET low_nano = -1 WHERE kind = 1")
    status, text = told()
    assert status == 1
    (start,) = [index for index, line in enumerate(text.splitlines()) if " I3.range " in line]
    shown = text.splitlines()[start + 1 : start + 12]
    assert "14 of 16" in text.splitlines()[start]
    assert [line.endswith("should be") for line in shown] == [True] * 10 + [False]
    assert shown[-1].strip() == "and 4 more"


def test_programs_get_one_object(books):
    plant("UPDATE quotas_budgetwindow SET held = held + 7 WHERE id = %s", books.window.pk)
    status, text = told(json=True, tenant=books.tenant.slug)
    report = json.loads(text)
    assert (status, report["ok"], report["violations"], report["tenant_id"]) == (1, False, 1, books.tenant.pk)
    (broken,) = [finding for finding in report["findings"] if finding["violations"]]
    assert broken["name"] == "I2.held"
    assert set(broken["offenders"][0]) == {"id", "expected", "found"}
    assert report["database"] == connection.vendor


def test_who_lost_a_disk_is_told_what_is_not_checked_around_it(books):
    number = Entry.objects.values("request_id").distinct().count()
    assert "is not checked" not in told()[1]
    Gap.objects.create(replica="lost", lease=1, window=books.window, amount=5, noticed_at=books.at)
    status, text = told()
    assert status == 0
    assert f"I6.attempts is not checked of {number} requests of 1 days" in text
    assert json.loads(told(json=True)[1])["unchecked"] == {"days": 1, "requests": number}


def test_a_time_may_be_given_as_a_day(books):
    status, text = told("--json", "--since=2099-01-01")
    assert status == 0
    assert json.loads(text)["since"] == "2099-01-01T00:00:00Z"
    assert {finding["checked"] for finding in json.loads(text)["findings"] if finding["name"] == "I3.range"} == {0}


def test_a_tenant_that_there_is_not_and_books_that_cannot_be_read_end_with_two(books, monkeypatch):
    def away(**options) -> None:
        raise OperationalError("the connection is lost")

    with pytest.raises(CommandError, match="no tenant") as refused:
        told(tenant="nobody")
    assert refused.value.returncode == 2
    monkeypatch.setattr(verify, "run", away)
    with pytest.raises(CommandError, match="cannot be checked: the connection is lost") as lost:
        told()
    assert lost.value.returncode == 2


def test_who_watches_sees_how_far_it_is(books):
    terminal = Terminal()
    call_command("ledger_verify", stdout=StringIO(), stderr=terminal)
    assert f"reading {books.at:%Y-%m-%d}" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")


def test_a_shell_sees_the_status(tmp_path):
    """Of a database that is not there."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "WEIR_VAR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
    }
    command = [sys.executable, "manage.py", "ledger_verify"]
    ended = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "cannot be checked" in ended.stderr


# --- one moment -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_is_written_meanwhile_is_not_seen_and_not_held_up():
    books = Books()
    books.fill()

    async def scenario() -> None:
        inside, go_on = threading.Event(), threading.Event()

        def read() -> tuple[list[int], list[int]]:
            with verify.snapshot():
                before = look()
                inside.set()
                assert go_on.wait(30)
                return before, look()

        def look() -> list[int]:
            return [Entry.objects.count(), BudgetWindow.objects.get(pk=books.window.pk).settled]

        def write() -> list[int]:
            assert inside.wait(30)
            ledger.post([books.call()])
            written = look()
            go_on.set()
            return written

        import asyncio

        (before, after), written = await asyncio.gather(in_thread(read), in_thread(write))
        assert before == after
        assert written[0] == before[0] + 1
        assert written[1] > before[1]

    run(scenario)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_month_is_not_dropped_under_somebody_who_reads_it(monkeypatch):
    """It is waited for, and those who write are not kept waiting."""
    books = Books(at=OLD)
    books.fill()
    ledger.post([books.resolved(doubt) for doubt in books.doubts])
    tries = []
    pause = threading.Event()
    monkeypatch.setattr(
        sealing.time, "sleep", lambda seconds: (tries.append(seconds), pause.set(), reader_ends.wait(30))
    )
    reader_ends = threading.Event()

    async def scenario() -> None:
        import asyncio

        inside = threading.Event()

        def read() -> int:
            with verify.snapshot():
                first = Entry.objects.count()
                inside.set()
                assert pause.wait(30)
                assert Entry.objects.count() == first
            reader_ends.set()
            return first

        def seal() -> int:
            assert inside.wait(30)
            return sealing.seal(LAST_BUT_ONE).rows

        def write() -> int:
            assert pause.wait(30)
            return len(ledger.post([books.call(at=books.window.ends)]))

        seen, sealed, written = await asyncio.gather(in_thread(read), in_thread(seal), in_thread(write))
        assert (seen, sealed, written) == (18, 18, 1)

    run(scenario)
    assert len(tries) == 1
    assert verify.run().violations == 0
