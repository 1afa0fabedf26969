"""The journal, its file, and the way from there to the ledger."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from django.db import connection

from apps.domain import errors
from apps.runtime import failpoints
from apps.runtime.state import state
from apps.usage import journal as journals
from apps.usage import pages, recovery
from apps.usage.forwarder import Forwarder
from apps.usage.journal import Journal
from apps.usage.models import Entry
from tests.money.books import in_thread
from tests.money.calls import intent, outcome
from tests.money.journals import attempts, play
from tests.servers import until


def test_an_intent_that_is_acknowledged_is_in_the_file(folder):
    async def scenario(journal: Journal) -> None:
        meant = [intent() for _ in range(50)]
        await asyncio.gather(*(journal.intent(record) for record in meant))
        assert [found for found, _ in attempts(journal)] == meant

    play(scenario, Journal(folder, name="a"))


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
def test_a_promise_outlives_a_power_cut_where_that_is_asked_for(folder, settings, durability, synchronous):
    settings.WEIR_DURABILITY = durability

    async def scenario(journal: Journal) -> None:
        assert journal._file is not None
        assert journal._file._database.execute("PRAGMA synchronous").fetchone() == (synchronous,)

    play(scenario, Journal(folder, name="a"))


def test_an_outcome_closes_its_intent_and_a_checkpoint_replaces_the_one_before(folder):
    async def scenario(journal: Journal) -> None:
        done, running = intent(), intent()
        await asyncio.gather(journal.intent(done), journal.intent(running))
        for tokens in (10, 20):
            journal.checkpoint(running.request_id, 1, tokens, "msg_1")
        journal.outcome(outcome(done))
        await journal.flush()
        ((found, checkpoint),) = attempts(journal)
        assert found == running
        assert (checkpoint.output_tokens, checkpoint.response_id) == (20, "msg_1")

    play(scenario, Journal(folder, name="a"))


def test_a_page_is_not_cut_before_what_the_ledger_refused_of_it_is_put_aside(folder, monkeypatch):
    monkeypatch.setattr(journals, "_GROUP", 1)
    monkeypatch.setattr(journals, "_CUT_PAGES", 1)
    order = []

    async def scenario(journal: Journal) -> None:
        assert journal._file is not None
        poisoned = outcome()
        journal.outcome(poisoned)
        await journal.flush()
        gather, cut, refuse = journal._gather, journal._file.cut, journal._file.refuse
        is_said = threading.Event()
        monkeypatch.setattr(journal, "_gather", lambda: is_said.wait(10) and gather())
        monkeypatch.setattr(journal._file, "cut", lambda **named: order.append("cut") or cut(**named))
        monkeypatch.setattr(journal._file, "refuse", lambda rows: order.append("refuse") or refuse(rows))
        for _ in range(3):
            journal.outcome(outcome())
            journal._hand_over()
        journal.refuse(poisoned)
        journal.forwarded(through=1)
        is_said.set()
        await asyncio.to_thread(until, lambda: "cut" in order and "refuse" in order)

    play(scenario, Journal(folder, name="a"))
    assert order[0] == "refuse"


def test_cutting_the_file_keeps_what_is_open(folder):
    async def scenario(journal: Journal) -> None:
        running = intent()
        await journal.intent(running)
        journal.checkpoint(running.request_id, 1, 33)
        for _ in range(30):
            done = intent()
            await journal.intent(done)
            journal.outcome(outcome(done))
        await journal.flush()
        journal.forwarded(through=journal.last_closed)
        deadline = time.monotonic() + 20
        with_file = pages.File(journal.path)
        while with_file.closed(after=0, limit=100):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        with_file.close()
        ((found, checkpoint),) = attempts(journal)
        assert (found, checkpoint.output_tokens) == (running, 33)

    play(scenario, Journal(folder, name="a"))


def test_a_journal_whose_outcomes_are_in_the_ledger_leaves_nothing_behind(folder, transactional_db):
    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await forwarder.start()
        meant = [intent() for _ in range(100)]
        await asyncio.gather(*(journal.intent(record) for record in meant))
        for cost, record in enumerate(meant):
            journal.outcome(outcome(record, cost=cost))
        await forwarder.close()

    play(scenario, Journal(folder, name="a"))
    assert sorted(Entry.objects.values_list("cost_nano", flat=True)) == list(range(100))
    assert list(folder.iterdir()) == []


def test_outcomes_survive_a_ledger_that_is_away(folder, transactional_db):
    """The table is called something else for a while: every insert fails."""

    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await in_thread(_rename, "usage_entry", "usage_away")
        try:
            await forwarder.start()
            for cost in range(10):
                journal.outcome(outcome(cost=cost))
            deadline = time.monotonic() + 20
            while state.journal_lag < 0.2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        finally:
            await in_thread(_rename, "usage_away", "usage_entry")
        await forwarder.flush()
        await forwarder.close()

    play(scenario, Journal(folder, name="a"))
    assert sorted(Entry.objects.values_list("cost_nano", flat=True)) == list(range(10))
    assert state.journal_lag == 0.0


def _rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_what_the_ledger_will_never_take_is_put_aside_and_kept(folder, transactional_db):
    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await forwarder.start()
        journal.outcome(outcome(cost=1))
        journal.outcome(outcome(cost=2**63))
        journal.outcome(outcome(cost=3))
        await forwarder.flush()
        await forwarder.close()

    play(scenario, Journal(folder, name="a"))
    assert sorted(Entry.objects.values_list("cost_nano", flat=True)) == [1, 3]
    file = pages.File(folder / "a.journal")
    assert file.count_refused() == 1
    file.close()
    assert asyncio.run(recovery.recover(folder)).posted == 0
    assert [path.name for path in folder.iterdir()] == ["a.refused"]


def test_whatever_breaks_a_write_the_next_one_is_made(folder):
    """The thread must not end, or calls would wait for it for ever."""

    async def scenario(journal: Journal) -> None:
        running = intent()
        await journal.intent(running)
        failpoints.arm("journal.intent.before_commit:raise,journal.outcome.before_commit:raise")
        try:
            with pytest.raises(errors.Unavailable):
                await journal.intent(intent())
            journal.outcome(outcome(running))
            await journal.flush()
        finally:
            failpoints.arm("")
        await journal.intent(intent(user_agent="next"))
        assert [found.user_agent for found, _ in attempts(journal)] == ["next"]

    play(scenario, Journal(folder, name="a"))


def test_a_second_process_cannot_open_the_same_journal(folder):
    async def scenario(journal: Journal) -> None:
        with pytest.raises(errors.Unavailable):
            await Journal(folder, name="a").start()

    play(scenario, Journal(folder, name="a"))


def test_a_journal_that_is_in_use_is_not_recovered(folder, transactional_db):
    async def scenario(journal: Journal) -> None:
        await journal.intent(intent())
        assert (await recovery.recover(folder)).journals == 0

    play(scenario, Journal(folder, name="a"))


def test_a_journal_that_cannot_be_read_is_kept_and_stops_nobody(folder, transactional_db):
    folder.mkdir()
    (folder / "broken.journal").write_bytes(b"not a database, and long enough to be taken for one" * 50)
    assert asyncio.run(recovery.recover(folder)).journals == 0
    assert [path.name for path in folder.iterdir()] == ["broken.unreadable"]
