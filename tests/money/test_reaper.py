"""A process that is gone with its disk: what ran there is bounded, what it held comes back, late truth is welcome."""

from __future__ import annotations

import asyncio
import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.audit.models import Record
from apps.quotas import windows
from apps.quotas.models import Gap, Lease, Replica
from apps.runtime import failpoints
from apps.usage import ledger, reaper, recovery
from apps.usage.gate import Gate
from apps.usage.journal import Journal
from apps.usage.models import Entry, Kind, OpenAttempt
from apps.usage.records import Intent
from tests.money.books import budget, in_thread, rule, standing
from tests.money.calls import intent, outcome

GRANTED = 10_000
RESERVED = 1_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def spent(acme):
    return budget(GRANTED, tenant=acme)


def running(of, *, count: int, name: str = "lost") -> list[Intent]:
    """Attempts of a replica that the database knows of, paid from a lease of the whole budget."""
    ask = windows.Ask(rule=rule(of), need=1, demand=1, unit=1)
    (grant,) = windows.acquire([ask], replica=name, epoch=windows.register(name), now=time.time(), replicas=None)
    paid = {"windows": (grant.window_id,), "leases": (grant.lease_id,), "reserved": RESERVED, "gated": True}
    return [intent(**paid) for _ in range(count)]


def known(records: list[Intent], *, name: str = "lost") -> None:
    """Through the gate, as a gateway does it."""

    async def put() -> None:
        gate = Gate(name)
        await gate.start()
        for passage in [gate.put(record) for record in records]:
            await passage.open()
        await gate.close()

    asyncio.run(put())


def silent(name: str = "lost", *, fenced: bool = True) -> None:
    Replica.objects.filter(name=name).update(heartbeat=LONG_AGO, fenced_at=LONG_AGO if fenced else None)


def test_what_ran_is_unconfirmed_and_the_rest_of_its_lease_is_a_gap(spent):
    records = running(spent, count=3)
    known(records)
    silent(fenced=False)
    assert reaper.reap() == []
    assert Entry.objects.count() == 0
    assert standing(spent) == (0, GRANTED)
    Replica.objects.update(fenced_at=LONG_AGO)
    assert reaper.reap() == [reaper.Lost("lost", 3, GRANTED - 3 * RESERVED)]
    rows = Entry.objects.all()
    assert {row.request_id for row in rows} == {record.request_id for record in records}
    assert {(row.kind, row.state, row.low_nano, row.high_nano) for row in rows} == {
        (Kind.UNCONFIRMED, "unconfirmed", 0, RESERVED)
    }
    assert standing(spent) == (3 * RESERVED, 0)
    assert Gap.objects.get(closed_at=None).amount == GRANTED - 3 * RESERVED
    assert not OpenAttempt.objects.exists()
    assert not Replica.objects.exists()


def test_nobody_is_given_up_before_the_quarantine_is_over(spent):
    known(running(spent, count=1))
    moment = timezone.now() - windows.QUARANTINE + timedelta(seconds=30)
    Replica.objects.update(heartbeat=LONG_AGO, fenced_at=moment)
    assert reaper.reap() == []
    assert OpenAttempt.objects.count() == 1


@pytest.mark.parametrize("where", ["forward.before_commit", "reap.before_write_off"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_reaper_that_is_killed_on_the_way_is_finished_by_the_next(spent, monkeypatch, where, nth):
    monkeypatch.setattr(ledger, "BATCH", 2)
    known(running(spent, count=3))
    silent()
    failpoints.arm(f"{where}:raise:{nth}")
    try:
        if (where, nth) == ("reap.before_write_off", 2):  # it passes there once
            reaper.reap()
        else:
            with pytest.raises(failpoints.Failed):
                reaper.reap()
    finally:
        failpoints.arm("")
    reaper.reap()
    reaper.reap()
    assert Entry.objects.count() == 3
    assert standing(spent) == (3 * RESERVED, 0)
    assert [gap.amount for gap in Gap.objects.all()] == [GRANTED - 3 * RESERVED]


def test_what_is_booked_already_is_not_doubted(spent):
    done, open_ = running(spent, count=2)
    known([done, open_])
    ledger.post([outcome(done, cost=7)])
    assert [row.request_id for row in OpenAttempt.objects.all()] == [open_.request_id]
    known([done])  # from a gate that was killed between its row and taking it away
    silent()
    assert reaper.reap()[0].unconfirmed == 1
    assert Entry.objects.get(request_id=done.request_id).kind == Kind.POST
    assert standing(spent) == (7 + RESERVED, 0)


def test_a_journal_that_turns_up_after_all_corrects_and_closes_the_gap(spent, folder):
    done, open_ = running(spent, count=2)
    known([done, open_])

    async def was_written() -> None:
        journal = Journal(folder, name="lost")
        await journal.start()
        await asyncio.gather(journal.intent(done), journal.intent(open_))
        journal.outcome(outcome(done, cost=300))
        await journal.close()

    asyncio.run(was_written())
    silent()
    reaper.reap()
    assert standing(spent) == (2 * RESERVED, 0)
    assert asyncio.run(recovery.recover(folder)).journals == 1
    assert sum(Entry.objects.filter(request_id=done.request_id).values_list("cost_nano", flat=True)) == 300
    correction = Entry.objects.get(kind=Kind.CORRECTION)
    assert (correction.request_id, correction.state, correction.high_nano) == (done.request_id, "settled", -700)
    assert standing(spent) == (300 + RESERVED, 0)
    assert Gap.objects.get().closed_at is not None
    assert list(folder.iterdir()) == []


def test_what_a_recovered_journal_has_lost_and_the_database_knows_is_unconfirmed_too(spent, folder):
    """As after a power cut, which may take the end of a journal along."""
    records = running(spent, count=2)
    known(records)

    async def was_written() -> None:
        journal = Journal(folder, name="lost")
        await journal.start()
        await asyncio.gather(*(journal.intent(record) for record in records[:1]))
        await journal.close()

    asyncio.run(was_written())
    recovered = asyncio.run(recovery.recover(folder))
    assert (recovered.posted, recovered.unconfirmed) == (2, 2)
    unconfirmed = Entry.objects.filter(kind=Kind.UNCONFIRMED)
    assert {entry.request_id for entry in unconfirmed} == {record.request_id for record in records}
    assert standing(spent) == (2 * RESERVED, 0)
    assert not OpenAttempt.objects.exists()


def test_rows_that_came_after_their_outcome_are_swept(spent):
    (done,) = running(spent, count=1)
    ledger.post([outcome(done)])
    known([done])
    assert reaper.reap() == []
    assert not OpenAttempt.objects.exists()


def test_the_database_knows_of_an_attempt_until_its_outcome_is_there(spent):
    """However soon it ends: until then only one machine would know of it."""
    quick, next_one = running(spent, count=2)

    async def scenario() -> None:
        gate = Gate("lost")
        await gate.start()
        passage = gate.put(quick)
        passage.future.add_done_callback(lambda _: passage.end())
        await passage.open()
        await gate.put(next_one).open()
        assert await in_thread(OpenAttempt.objects.filter(request_id=quick.request_id).exists)
        await in_thread(ledger.post, [outcome(quick)])
        assert not await in_thread(OpenAttempt.objects.filter(request_id=quick.request_id).exists)
        await gate.close()

    asyncio.run(scenario())


def test_rows_of_nobody_are_unconfirmed_when_they_are_old(spent):
    records = running(spent, count=2)
    known(records)
    windows.write_off("lost", at_once=True)
    assert reaper.reap() == []
    OpenAttempt.objects.filter(request_id=records[0].request_id).update(started_at=LONG_AGO)
    reaper.reap()
    assert Entry.objects.filter(kind=Kind.UNCONFIRMED).count() == 2
    assert not OpenAttempt.objects.exists()


def lost(name: str) -> str:
    told = io.StringIO()
    call_command("replica_lost", name, "--yes", stdout=told)
    return told.getvalue()


def test_an_operator_need_not_wait(spent):
    known(running(spent, count=2))
    silent(fenced=False)
    assert lost("lost") == "2 calls are unconfirmed; the gap is $0.000008.\n"
    assert standing(spent) == (2 * RESERVED, 0)
    assert not Lease.objects.filter(is_open=True).exists()
    assert Record.objects.get(action="replica.lost").after == {"name": "lost"}
    with pytest.raises(CommandError, match="Known are: none"):
        lost("lost")


def test_a_living_replica_cannot_be_declared_lost(spent):
    known(running(spent, count=1))
    with pytest.raises(CommandError, match="may live"):
        lost("lost")
    assert standing(spent) == (0, GRANTED)
    assert OpenAttempt.objects.count() == 1


def test_calls_of_who_is_no_replica_any_more_need_not_wait_either(spent):
    known(running(spent, count=2))
    windows.write_off("lost", at_once=True)
    assert lost("lost") == "2 calls are unconfirmed; the gap is $0.00.\n"


def test_who_is_taken_over_while_somebody_thinks_is_not_given_up(spent, monkeypatch):
    running(spent, count=1)
    silent()

    def taken_over(_question: str) -> str:
        windows.retire("lost")
        return "y"

    monkeypatch.setattr("builtins.input", taken_over)
    with pytest.raises(CommandError, match="lost was taken over in the meantime; nothing was done") as ended:
        call_command("replica_lost", "lost")
    assert ended.value.returncode == 1
    assert not Record.objects.filter(action="replica.lost").exists()
    assert not Gap.objects.exists()


def test_nothing_is_done_without_a_yes(spent, monkeypatch):
    running(spent, count=1)
    silent()
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("replica_lost", "lost")
    assert Replica.objects.exists()
