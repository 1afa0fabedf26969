"""What is left of a process that was killed without warning."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError

from apps.domain import pricing
from apps.domain.tokens import TokenUsage
from apps.gateway.attempt import Accounts
from apps.quotas import windows
from apps.quotas.models import Replica
from apps.usage import recovery
from apps.usage.journal import Journal
from apps.usage.models import Entry
from apps.usage.records import Checkpoint
from tests.money.books import NOW, budget, rule, standing, window
from tests.money.calls import CARD, intent, outcome
from tests.money.victim import PINNED, RESERVED

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = 60


def lease(found):
    ask = windows.Ask(rule=rule(found), need=1, demand=1, unit=1)
    (grant,) = windows.acquire(
        [ask], replica="victim", epoch=windows.register("victim"), now=time.time(), replicas=None
    )
    return grant


def kill(folder: Path, grant) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """Runs the victim until it has said enough, kills it, and returns what it had acknowledged."""
    arguments = [str(folder), str(grant.window_id), str(grant.lease_id)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.money.victim", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        text=True,
    ) as victim:
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(ENOUGH)]
        victim.kill()
        lines += victim.stdout.readlines()
    intents, outcomes = {}, {}
    for line in (line for line in lines if line.endswith("\n")):
        what, request, number = line.split()
        (intents if what == "i" else outcomes)[UUID(request)] = int(number)
    return intents, outcomes


@pytest.mark.parametrize("round_", range(3))
def test_kill_9_loses_nothing_that_was_acknowledged(acme, folder, round_):
    found = budget(10**12, tenant=acme)
    intents, outcomes = kill(folder, lease(found))
    assert len(outcomes) > 5

    started = time.monotonic()
    recovered = asyncio.run(recovery.recover(folder))
    assert time.monotonic() - started < 5
    rows = {row.request_id: row for row in Entry.objects.all()}
    assert recovered.posted == len(rows)
    assert recovered.unconfirmed > 0
    assert intents.keys() <= rows.keys()
    assert {row.pinned_id for row in rows.values()} == {PINNED}
    for request, cost in outcomes.items():
        assert (rows[request].state, rows[request].cost_nano) == ("settled", cost)
    for request in intents.keys() - outcomes.keys():
        row = rows[request]
        if row.state == "unconfirmed":
            assert row.status == "interrupted"
            assert 0 <= row.low_nano <= row.cost_nano <= row.high_nano == RESERVED
    assert standing(found) == (sum(row.high_nano for row in rows.values()), 0)
    assert list(folder.iterdir()) == []


def test_recovering_twice_changes_nothing_more(acme, folder, tmp_path):
    found = budget(10**12, tenant=acme)
    kill(folder, lease(found))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    first = asyncio.run(recovery.recover(folder))
    after = standing(found)
    again = asyncio.run(recovery.recover(copy))
    assert (first.journals, again.journals, again.posted) == (1, 1, 0)
    assert standing(found) == after


def test_leases_that_could_not_be_returned_at_the_end_are_by_who_recovers_the_journal(
    acme, folder, settings, monkeypatch
):
    """All that was spent is in the ledger, and still the journal says whose the leases are."""
    settings.WEIR_JOURNAL_DIR = str(folder)
    found = budget(1_000, tenant=acme)
    rules = [rule(found)]

    def away(*arguments, **named):
        raise OperationalError("the database is away")

    async def scenario() -> None:
        accounts = Accounts()
        await accounts.start()
        accounts.leases.settle(await accounts.leases.reserve(rules, amount=10, now=NOW), amount=0)
        monkeypatch.setattr(windows, "release", away)
        await accounts.close()

    asyncio.run(scenario())
    assert window(found).held > 0
    assert asyncio.run(recovery.recover(folder)).journals == 1
    assert window(found).held == 0
    assert not Replica.objects.exists()
    assert list(folder.iterdir()) == []


def test_a_neighbour_adopts_the_journal_without_a_restart(acme, folder):
    from apps.usage.forwarder import Forwarder

    found = budget(10**12, tenant=acme)
    _, outcomes = kill(folder, lease(found))

    async def neighbour() -> None:
        journal = Journal(folder, name="neighbour")
        await journal.start()
        forwarder = Forwarder(journal)
        await forwarder.start()
        deadline = time.monotonic() + 20
        while (folder / "victim.journal").exists():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await forwarder.close()
        await journal.close()

    asyncio.run(neighbour())
    assert set(outcomes) <= set(Entry.objects.values_list("request_id", flat=True))


def test_two_hundred_open_calls_are_classified_within_five_seconds(acme, folder):
    found = budget(10**12, tenant=acme)
    grant = lease(found)
    meant = [intent(windows=(grant.window_id,), leases=(grant.lease_id,), reserved=RESERVED) for _ in range(200)]

    async def victim() -> None:
        journal = Journal(folder, name="victim")
        await journal.start()
        await asyncio.gather(*(journal.intent(record) for record in meant))
        for record in meant:
            journal.checkpoint(record.request_id, 1, 20, "msg_1")
        await journal.close()

    asyncio.run(victim())
    started = time.monotonic()
    recovered = asyncio.run(recovery.recover(folder))
    assert time.monotonic() - started < 5
    assert (recovered.posted, recovered.unconfirmed) == (200, 200)
    assert standing(found) == (200 * RESERVED, 0)


def test_an_intent_that_was_never_seen_to_start_may_have_cost_nothing():
    found = recovery.unconfirmed(intent(reserved=500), None)
    assert (found.low, found.cost, found.high, found.usage_source) == (0, 0, 500, "none")


def test_a_stream_s_last_checkpoint_is_the_least_and_its_reservation_the_most():
    meant = intent(reserved=10**9, input_tokens=1_000, at=100.0)
    found = recovery.unconfirmed(meant, Checkpoint(at=110.0, output_tokens=500, response_id="msg_1"))
    low = pricing.cost(TokenUsage(out_total=250), CARD)  # our estimate may be of twice as many as there were
    guess = pricing.cost(TokenUsage(in_fresh=1_000, out_total=600), CARD)
    assert (found.low, found.cost, found.high) == (low, guess, 10**9)
    assert (found.state, found.status) == ("unconfirmed", "interrupted")
    assert (found.provider_request_id, found.message_id) == ("msg_1", "msg_1")


def test_a_stream_that_outran_its_reservation_is_not_booked_below_what_was_seen():
    found = recovery.unconfirmed(intent(reserved=5), Checkpoint(at=time.time(), output_tokens=10_000))
    seen, certain = (pricing.cost(TokenUsage(out_total=tokens), CARD) for tokens in (10_000, 5_000))
    assert (found.low, found.cost, found.high) == (certain, seen, seen)


def test_a_stream_that_was_given_more_may_have_cost_all_of_it():
    checkpoint = Checkpoint(at=time.time(), output_tokens=1, reserved=10**8)
    found = recovery.unconfirmed(intent(reserved=10**6), checkpoint)
    assert (found.high, found.intent.reserved) == (10**8, 10**8)


def test_without_a_price_it_is_recorded_all_the_same(folder, transactional_db):
    async def scenario() -> None:
        journal = Journal(folder, name="a")
        await journal.start()
        await journal.intent(intent(card=None))
        journal.outcome(outcome(intent(card=None)))
        await journal.close()

    asyncio.run(scenario())
    asyncio.run(recovery.recover(folder))
    assert sorted(Entry.objects.values_list("state", "cost_nano")) == [("settled", 0), ("unconfirmed", 0)]
    assert Entry.objects.get(state="settled").is_unpriced
