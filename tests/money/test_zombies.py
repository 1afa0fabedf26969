"""A process that was stopped for long spends nothing that others may have by now."""

from __future__ import annotations

import pytest
from django.db import DatabaseError

from apps.domain import errors
from apps.quotas import authority, windows
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Gap
from apps.usage import ledger
from tests.money.books import NOW, at_once, budget, in_thread, rule, run, standing
from tests.money.calls import intent, outcome

LONG = authority.TRUSTED_SECONDS + 1


class Clock:
    """Goes on while a process is stopped."""

    def __init__(self) -> None:
        self.stands = 1_000.0

    def __call__(self) -> float:
        return self.stands


def test_who_was_not_heard_for_nearly_a_quarantine_asks_before_it_spends(acme):
    found = budget(100, tenant=acme)
    rules = [rule(found)]
    clock = Clock()

    async def scenario(sleeper: LeaseBook, other: LeaseBook) -> None:
        await sleeper.reserve(rules, amount=10, now=NOW)
        clock.stands += LONG - 2
        at_once(sleeper.reserve(rules, amount=10, now=NOW))
        clock.stands += 2
        await in_thread(windows.write_off, "sleeper", at_once=True)
        await other.reserve(rules, amount=100, now=NOW)
        with pytest.raises(errors.BudgetExhausted):
            await sleeper.reserve(rules, amount=10, now=NOW)

    run(scenario, LeaseBook("sleeper", shared=False, clock=clock), LeaseBook("other", shared=False))
    assert Gap.objects.get().amount == 100


def test_its_streams_do_not_grow_by_what_others_may_have_by_now(acme):
    rules = [rule(budget(100, tenant=acme))]
    clock = Clock()

    async def scenario(sleeper: LeaseBook, other: LeaseBook) -> None:
        hold = await sleeper.reserve(rules, amount=10, now=NOW)
        assert sleeper.extend(hold, amount=5)
        clock.stands += LONG
        await in_thread(windows.write_off, "sleeper", at_once=True)
        await other.reserve(rules, amount=100, now=NOW)
        assert not sleeper.extend(hold, amount=5)
        assert not await sleeper.extend_by_asking(hold, amount=5)
        assert hold.amount == 15

    run(scenario, LeaseBook("sleeper", shared=False, clock=clock), LeaseBook("other", shared=False))


def test_the_streams_of_who_was_only_stopped_grow_once_it_has_asked(acme):
    rules = [rule(budget(100, tenant=acme))]
    clock = Clock()

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=10, now=NOW)
        clock.stands += LONG
        assert not book.extend(hold, amount=5)
        assert await book.extend_by_asking(hold, amount=5)
        assert hold.amount == 15

    run(scenario, LeaseBook("one", shared=False, clock=clock))


def test_a_stream_that_was_let_pass_without_a_lease_grows_and_nobody_is_asked():
    async def scenario(book: LeaseBook) -> None:
        hold = book.let_pass([], amount=10, now=NOW)
        assert await book.extend_by_asking(hold, amount=5)
        assert hold.amount == 15

    run(scenario, LeaseBook("one", shared=False))


def test_who_was_only_stopped_goes_on_with_what_it_has(acme):
    rules = [rule(budget(100, tenant=acme))]
    clock = Clock()

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=40, now=NOW)
        clock.stands += LONG
        await book.reserve(rules, amount=60, now=NOW)
        assert hold.leases == (await book.reserve(rules, amount=0, now=NOW)).leases

    run(scenario, LeaseBook("one", shared=False, clock=clock))


def test_while_the_database_is_away_it_spends_no_longer_than_it_can_be_sure(acme, monkeypatch):
    rules = [rule(budget(100, tenant=acme))]
    clock = Clock()

    def away(*arguments, **named):
        raise DatabaseError("the connection is closed")

    async def scenario(book: LeaseBook) -> None:
        await book.reserve(rules, amount=10, now=NOW)
        monkeypatch.setattr(windows, "acquire", away)
        clock.stands += LONG - 2
        await book.reserve(rules, amount=10, now=NOW)
        clock.stands += 2
        with pytest.raises(errors.Unavailable) as caught:
            await book.reserve(rules, amount=10, now=NOW)
        assert caught.value.code == "ledger_unavailable"
        monkeypatch.undo()
        clock.stands += authority.AWAY_SECONDS
        await book.reserve(rules, amount=10, now=NOW)

    run(scenario, LeaseBook("one", shared=False, clock=clock))


def test_it_stops_before_its_leases_can_be_written_off():
    given_up_after = windows.DEAD_AFTER + windows.QUARANTINE
    assert given_up_after.total_seconds() - 30 >= authority.TRUSTED_SECONDS


def test_what_a_zombie_had_in_flight_is_still_booked(acme):
    found = budget(100, tenant=acme)
    rules = [rule(found)]
    clock = Clock()

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=30, now=NOW)
        clock.stands += LONG
        await in_thread(windows.write_off, "zombie", at_once=True)
        book.settle(hold, amount=20)
        await in_thread(ledger.post, [outcome(intent(hold=hold), cost=20)])
        await book.reserve(rules, amount=80, now=NOW)

    run(scenario, LeaseBook("zombie", shared=False, clock=clock))
    assert standing(found)[0] == 20
