"""A disk that is full: what runs is written down, nothing new is begun, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from apps.domain import errors
from apps.runtime.state import state
from apps.usage import pages
from apps.usage.forwarder import Forwarder
from apps.usage.journal import Journal
from apps.usage.models import Entry
from tests.money.calls import intent, outcome
from tests.money.disks import MEGABYTE, mountable, small_disk
from tests.money.journals import attempts, play


async def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.01)


def sound(path: Path) -> bool:
    database = sqlite3.connect(path)
    try:
        return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()


async def refused(journal: Journal) -> None:
    with pytest.raises(errors.Unavailable) as refusal:
        await journal.intent(intent())
    assert (refusal.value.code, refusal.value.retry_after) == ("storage_full", 5.0)


@pytest.mark.parametrize("megabytes", [0, 1])
def test_no_call_is_taken_that_cannot_be_written_and_no_outcome_is_lost(folder, settings, caplog, megabytes):
    settings.WEIR_BALLAST_MB = megabytes

    async def scenario(journal: Journal) -> None:
        before = intent()
        await journal.intent(before)
        database = journal._file._database
        database.execute(f"PRAGMA max_page_count={database.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(errors.Unavailable) as refusal:
            await journal.intent(intent(user_agent="x" * 100_000))
        assert refusal.value.code == "storage_full"
        journal.outcome(outcome(before, error_code="y" * 100_000))
        await refused(journal)
        assert state.storage_full
        assert not pages.ballast(journal.path).exists()
        await asyncio.sleep(0.03)  # the writer rests until its next try: the errors of a connection are not of a thread
        database.execute("PRAGMA max_page_count=1000000")
        await journal.flush()
        assert attempts(journal) == []
        await until(lambda: not state.storage_full)
        await journal.intent(intent())
        assert pages.ballast(journal.path).exists() == bool(megabytes)
        assert sound(journal.path)

    play(scenario, Journal(folder, name="a"))
    told = [record.getMessage() for record in caplog.records if record.name == "apps.usage.ballast"]
    assert [text.partition(":")[0] for text in told] == [
        "storage is full, new calls are refused",
        "storage has room again, calls are taken",
    ]
    assert sound(folder / "a.journal")


def test_the_ballast_is_really_there_and_goes_with_its_journal(folder, settings):
    settings.WEIR_BALLAST_MB = 3

    async def scenario(journal: Journal) -> None:
        told = pages.ballast(journal.path).stat()
        assert told.st_size == 3 * MEGABYTE
        assert told.st_blocks * 512 >= 3 * MEGABYTE

    play(scenario, Journal(folder, name="a"))
    assert list(folder.iterdir()) == []


def test_a_process_that_finds_no_room_for_its_ballast_takes_no_calls(folder, settings):
    folder.mkdir()
    told = os.statvfs(folder)
    settings.WEIR_BALLAST_MB = told.f_bavail * told.f_frsize // MEGABYTE // 2

    async def scenario(journal: Journal) -> None:
        assert state.storage_full
        await refused(journal)
        assert not pages.ballast(journal.path).exists()

    play(scenario, Journal(folder, name="a"))
    assert not state.storage_full


@pytest.mark.sqlite
def test_a_full_ledger_is_waited_for_and_loses_nothing(folder, transactional_db):
    """Its database may have no page more, on any connection, for a while."""
    opened: list[sqlite3.Connection] = []

    def restrain(connection, **_) -> None:
        raw = connection.connection
        opened.append(raw)
        raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")

    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await forwarder.start()
        for cost in range(100):
            journal.outcome(outcome(cost=cost, trail=("x" * 1000,)))
        try:
            await until(lambda: state.journal_lag > 0.2)
        finally:
            for raw in opened:
                raw.execute("PRAGMA max_page_count=1000000")
            await forwarder.close()

    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # other tests' rows have left room
    connection_created.connect(restrain)
    try:
        play(scenario, Journal(folder, name="a"))
    finally:
        connection_created.disconnect(restrain)
    assert sorted(Entry.objects.values_list("cost_nano", flat=True)) == list(range(100))
    assert list(folder.iterdir()) == []
    assert sound(Path(connection.settings_dict["NAME"]))


if mountable():  # elsewhere a limit on files has to do, see tests/gateway/test_storage.py

    def test_the_ballast_carries_what_runs_when_nothing_else_is_free(tmp_path, settings):
        settings.WEIR_BALLAST_MB = 1

        async def scenario(journal: Journal) -> None:
            running = [intent() for _ in range(100)]
            await asyncio.gather(*(journal.intent(record) for record in running))
            disk.fill()
            with pytest.raises(errors.Unavailable):
                await journal.intent(intent(user_agent="x" * 100_000))
            await refused(journal)
            for record in running:
                journal.checkpoint(record.request_id, 1, 10, "msg_1")
            await journal.flush()
            assert {checkpoint.output_tokens for _, checkpoint in attempts(journal)} == {10}
            for record in running:
                journal.outcome(outcome(record, cost=5))
            await journal.flush()
            assert attempts(journal) == []
            assert state.storage_full
            disk.empty()
            await until(lambda: not state.storage_full)
            assert pages.ballast(journal.path).stat().st_blocks * 512 >= MEGABYTE
            await journal.intent(intent())
            assert sound(journal.path)

        with small_disk(tmp_path / "disk", megabytes=8) as disk:
            play(scenario, Journal(disk.folder, name="a"))
            assert sound(disk.folder / "a.journal")

    def test_calls_are_refused_before_anything_fails_when_little_is_free(tmp_path, settings, caplog):
        settings.WEIR_BALLAST_MB = 1

        async def scenario(journal: Journal) -> None:
            await journal.intent(intent())
            disk.fill(but=2 * MEGABYTE - 1)
            await until(lambda: state.storage_full)
            await refused(journal)
            assert pages.ballast(journal.path).exists()
            disk.empty()
            await until(lambda: not state.storage_full)
            await journal.intent(intent())

        with small_disk(tmp_path / "disk", megabytes=8) as disk:
            play(scenario, Journal(disk.folder, name="a"))
        assert "little is free" in caplog.text
