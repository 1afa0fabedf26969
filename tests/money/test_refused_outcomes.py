"""What was spent and the ledger refuses to book: no budget has it, and none is overrun by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.domain import errors
from apps.gateway.attempt import Accounts
from apps.quotas import windows
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Gap, Replica
from apps.runtime import failpoints
from apps.usage import ledger, pages, reaper, recovery
from apps.usage.books import verify
from apps.usage.forwarder import Forwarder
from apps.usage.journal import Journal
from apps.usage.models import Entry, OpenAttempt
from apps.usage.records import Intent, Outcome
from tests.money.books import NOW, budget, in_thread, rule, run, standing, window
from tests.money.calls import intent, outcome
from tests.money.journals import play

AMOUNT = 1_000
POISON = "refuse me"
REFUSED, BOOKED = 300, 100

_GUARDS = {
    "postgresql": (
        f"""CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.user_agent = '{POISON}' THEN RAISE check_violation; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse_poison BEFORE INSERT ON usage_entry FOR EACH ROW EXECUTE FUNCTION refuse_poison()""",
        "DROP TRIGGER IF EXISTS refuse_poison ON usage_entry; DROP FUNCTION IF EXISTS refuse_poison()",
    ),
    "sqlite": (
        f"""CREATE TRIGGER refuse_poison BEFORE INSERT ON usage_entry WHEN NEW.user_agent = '{POISON}'
            BEGIN SELECT RAISE(ABORT, 'refused'); END""",
        "DROP TRIGGER IF EXISTS refuse_poison",
    ),
}


@pytest.fixture(autouse=True)
def refusing(acme) -> Iterator[None]:
    """A ledger that does not take rows of one user agent, until it is mended."""
    with connection.cursor() as cursor:
        cursor.execute(_GUARDS[connection.vendor][0])
    yield
    mend()


@pytest.fixture
def spent(acme):
    return budget(AMOUNT, tenant=acme)


def mend() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_GUARDS[connection.vendor][1])


def paid(of, *, name: str = "gone", gated: bool = False) -> tuple[Intent, Intent]:
    """Two attempts on a lease of the whole budget; the ledger will not take the first."""
    ask = windows.Ask(rule=rule(of), need=1, demand=1, unit=1)
    (grant,) = windows.acquire([ask], replica=name, epoch=windows.register(name), now=time.time(), replicas=None)
    fields = {"windows": (grant.window_id,), "leases": (grant.lease_id,), "reserved": REFUSED, "gated": gated}
    return intent(**fields, user_agent=POISON), intent(**fields)


def killed(folder: Path, *told: Outcome, name: str = "gone") -> None:
    """A journal with these outcomes, that nobody forwarded."""

    async def scenario(journal: Journal) -> None:
        for one in told:
            await journal.intent(one.intent)
            journal.outcome(one)
        await journal.flush()

    play(scenario, Journal(folder, name=name))


def recovered(folder: Path) -> None:
    asyncio.run(recovery.recover(folder))
    in_order()


def in_order() -> None:
    report = verify.run()
    assert [finding.name for finding in report.findings if finding.violations] == []


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def long_ago(name: str = "gone") -> None:
    """It was fenced, and its quarantine is over."""
    past = timezone.now() - windows.QUARANTINE - windows.DEAD_AFTER
    Replica.objects.filter(name=name).update(heartbeat=past, fenced_at=past)


def as_if_never_refused(of) -> None:
    found = window(of)
    assert (found.settled, found.held, found.credit, found.overrun) == (BOOKED + REFUSED, 0, 0, 0)
    assert sorted(Entry.objects.values_list("cost_nano", flat=True)) == [BOOKED, REFUSED]
    assert not Replica.objects.exists()
    assert not Gap.objects.filter(closed_at=None).exists()
    in_order()


def retried(folder: Path, settings) -> None:
    settings.WEIR_JOURNAL_DIR = str(folder)
    call_command("journals", "--retry", "gone")
    recovered(folder)


def test_what_a_dead_process_spent_and_the_ledger_refuses_stays_held_until_it_is_booked(spent, folder, settings):
    poisoned, fine = paid(spent)
    killed(folder, outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED))
    recovered(folder)
    assert left(folder) == ["gone.refused"]
    assert standing(spent) == (BOOKED, REFUSED)
    rules = [rule(spent)]

    async def spend(book: LeaseBook) -> None:
        rest = AMOUNT - BOOKED - REFUSED
        with pytest.raises(errors.BudgetExhausted):
            await book.reserve(rules, amount=rest + 1, now=NOW)
        book.settle(await book.reserve(rules, amount=rest, now=NOW), amount=0)

    run(spend, LeaseBook("other", shared=False))
    retried(folder, settings)
    assert left(folder) == ["gone.refused"]
    assert standing(spent) == (BOOKED, REFUSED)
    mend()
    retried(folder, settings)
    assert left(folder) == []
    as_if_never_refused(spent)


def test_as_long_as_somebody_has_its_journal_nobody_writes_off_what_is_held_for_it(spent, folder, settings):
    poisoned, fine = paid(spent)
    killed(folder, outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED))
    windows.register("neighbour")
    long_ago()
    recovered(folder)
    assert reaper.reap() == []
    long_ago()
    recovered(folder)
    assert reaper.reap() == []
    assert windows.beat("neighbour", epoch=1) == 1
    Replica.objects.filter(name="neighbour").delete()
    mend()
    retried(folder, settings)
    as_if_never_refused(spent)


def test_of_a_host_that_is_lost_what_was_refused_becomes_a_gap_until_it_is_booked(spent, folder, settings):
    poisoned, fine = paid(spent)
    killed(folder, outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED))
    recovered(folder)
    long_ago()
    assert reaper.reap() == [reaper.Lost("gone", 0, REFUSED)]
    in_order()
    retried(folder, settings)
    assert [gap.amount for gap in Gap.objects.filter(closed_at=None)] == [REFUSED]
    mend()
    retried(folder, settings)
    assert standing(spent) == (BOOKED + REFUSED, 0)
    assert not Gap.objects.filter(closed_at=None).exists()


def test_the_gap_of_who_was_given_up_before_stays_open_by_what_is_refused(spent, folder, settings):
    poisoned, fine = paid(spent)
    long_ago()
    reaper.reap()
    assert Gap.objects.get().amount == AMOUNT
    killed(folder, outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED))
    recovered(folder)
    gap = Gap.objects.get()
    assert (gap.amount, gap.closed_at) == (REFUSED, None)
    mend()
    retried(folder, settings)
    assert Gap.objects.get().closed_at is not None
    in_order()


def test_what_is_charged_as_unconfirmed_already_is_not_held_as_well(spent, folder, settings):
    """As somebody booked it before the ledger began to refuse it."""
    poisoned, fine = paid(spent, gated=True)
    mend()
    ledger.post([recovery.unconfirmed(poisoned, None)])
    with connection.cursor() as cursor:
        cursor.execute(_GUARDS[connection.vendor][0])
    assert standing(spent) == (REFUSED, AMOUNT - REFUSED)
    killed(folder, outcome(poisoned, cost=REFUSED + 5), outcome(fine, cost=BOOKED))
    file = pages.File(folder / "gone.journal")
    file.refuse([pages.encoder.encode(outcome(poisoned, cost=REFUSED + 5))])
    file.close()
    recovered(folder)
    assert standing(spent) == (REFUSED + BOOKED, 5)


def test_a_call_of_which_only_the_database_knows_and_that_is_refused_is_not_forgotten(spent, folder, settings):
    """As after a power cut, which may take the end of a journal along."""
    poisoned, fine = paid(spent, gated=True)
    OpenAttempt.objects.create(
        id=ledger.entry_id(outcome(poisoned)),
        request_id=poisoned.request_id,
        attempt=1,
        replica="gone",
        started_at=timezone.now(),
        intent=pages.encoder.encode(poisoned),
    )
    killed(folder, outcome(fine, cost=BOOKED))
    for _ in range(2):
        recovered(folder)
        assert left(folder) == ["gone.refused"]
        assert standing(spent) == (BOOKED, REFUSED)
        pages.take_back(folder / "gone.refused")
    mend()
    recovered(folder)
    assert Entry.objects.get(request_id=poisoned.request_id).state == "unconfirmed"
    assert standing(spent) == (BOOKED + REFUSED, 0)


def test_a_cost_that_no_column_takes_holds_all_that_its_lease_has(spent, folder):
    poisoned, _ = paid(spent)
    killed(folder, outcome(poisoned, cost=2**63))
    recovered(folder)
    assert standing(spent) == (0, AMOUNT)


@pytest.mark.parametrize("where", ["forward.before_commit", "recover.before_retire"])
@pytest.mark.parametrize("is_mended", [False, True])
def test_whoever_is_killed_while_recovering_it_leaves_it_to_the_next(spent, folder, settings, where, is_mended):
    poisoned, fine = paid(spent)
    killed(folder, outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED))
    if is_mended:
        recovered(folder)
        pages.take_back(folder / "gone.refused")
        mend()
    failpoints.arm(f"{where}:raise:1")
    try:
        with pytest.raises(failpoints.Failed):
            recovery.adopt(folder)
    finally:
        failpoints.arm("")
    in_order()
    found = window(spent)
    assert found.settled + found.held >= BOOKED + REFUSED
    assert left(folder) == ["gone.journal"]
    recovered(folder)
    if is_mended:
        assert left(folder) == []
        as_if_never_refused(spent)
    else:
        for _ in range(2):
            assert left(folder) == ["gone.refused"]
            assert standing(spent) == (BOOKED, REFUSED)
            pages.take_back(folder / "gone.refused")  # as of one who was killed before it was set aside
            recovered(folder)


def test_a_process_that_ends_in_order_keeps_held_what_was_refused(spent, folder, settings):
    settings.WEIR_JOURNAL_DIR = str(folder)
    rules = [rule(spent)]

    async def scenario() -> str:
        accounts = Accounts()
        await accounts.start()
        for cost, agent in ((REFUSED, POISON), (BOOKED, "")):
            hold = await accounts.leases.reserve(rules, amount=cost, now=NOW)
            meant = intent(hold=hold, user_agent=agent)
            await accounts.journal.intent(meant)
            accounts.leases.settle(hold, amount=cost)
            accounts.journal.outcome(outcome(meant, cost=cost))
        await accounts.forwarder.flush()
        await in_thread(in_order)
        settled, held = await in_thread(standing, spent)
        assert (settled, held >= REFUSED) == (BOOKED, True)
        await accounts.close()
        return accounts.journal.name

    name = asyncio.run(scenario())
    assert left(folder) == [f"{name}.journal"]
    assert standing(spent) == (BOOKED, REFUSED)
    in_order()
    recovered(folder)
    assert left(folder) == [f"{name}.refused"]
    assert standing(spent) == (BOOKED, REFUSED)
    mend()
    call_command("journals", "--retry", name)
    recovered(folder)
    as_if_never_refused(spent)


def test_a_process_that_came_back_leaves_the_gap_of_what_was_refused_open(spent, folder):
    """It was given up while it was only paused; all but one of its outcomes are in the ledger."""
    poisoned, fine = paid(spent)
    assert windows.write_off("gone", at_once=True) == AMOUNT

    async def scenario(journal: Journal) -> None:
        forwarder = Forwarder(journal)
        await forwarder.start()
        for told in (outcome(poisoned, cost=REFUSED), outcome(fine, cost=BOOKED)):
            await journal.intent(told.intent)
            journal.outcome(told)
        await forwarder.close()

    play(scenario, Journal(folder, name="gone"))
    assert Gap.objects.get().closed_at is None
    recovered(folder)
    assert (Gap.objects.get().amount, Gap.objects.get().closed_at) == (REFUSED, None)
