"""More for a budget until a moment: gateways spend it until then, and not a cent of it afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from apps.domain import errors
from apps.quotas import increases, leases
from apps.quotas import services as quotas
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Budget, BudgetWindow
from apps.runtime import clock
from apps.usage import ledger
from apps.usage.books import verify
from tests import factories
from tests.money.books import budget, in_thread, rule, run, standing
from tests.money.calls import intent, outcome

YEARS = {"period": "fixed", "starts_on": date(2020, 1, 1), "ends_on": date(2100, 1, 1)}
DIES_AFTER = 3600


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """A refusal is not put off."""
    monkeypatch.setattr(leases, "RECALL_SECONDS", 0.0)


def raised(found: Budget, amount: int) -> int:
    """By so much for an hour; returns when that is over."""
    until = int(clock.now()) + DIES_AFTER
    operator = factories.user(is_superuser=True)
    asked = increases.request(
        found, actor=operator, amount=amount, reason="a race", until=datetime.fromtimestamp(until, UTC)
    )
    increases.approve(asked, actor=operator)
    return until


async def fits(book: LeaseBook, rules, *, now: float, unit: int = 100):
    """As many calls as are admitted."""
    holds = []
    while True:
        try:
            holds.append(await book.reserve(rules, amount=unit, now=now))
        except errors.BudgetExhausted:
            return holds


async def settled(book: LeaseBook, holds, *, cost: int, now: float) -> None:
    for hold in holds:
        book.settle(hold, amount=cost)
        await in_thread(ledger.post, [outcome(intent(hold=hold, at=now), cost=cost)])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("overdraft", [0, 50])
def test_what_an_increase_adds_may_be_spent_until_it_is_over_and_no_longer(acme, shared, overdraft):
    found = budget(1_000, tenant=acme, overdraft=overdraft, **YEARS)
    before = [rule(found)]
    now = clock.now()

    async def scenario(book: LeaseBook) -> None:
        holds = await fits(book, before, now=now)
        assert len(holds) == 10
        until = await in_thread(raised, found, 500)
        during = [await in_thread(rule, found)]
        assert during[0].amount == 1_500
        holds += await fits(book, during, now=until - 1)
        assert len(holds) == 15
        assert await fits(book, during, now=until) == []
        for hold in holds:
            book.settle(hold, amount=0)

    run(scenario, LeaseBook("one", shared=shared))
    assert standing(found) == (0, 0)
    assert verify.run().violations == 0


@pytest.mark.parametrize("shared", [False, True])
def test_what_a_process_holds_of_an_increase_goes_back_with_the_call_after_it(acme, shared):
    """Even while nobody has told it: the rule that it knows is that of before."""
    found = budget(1_000, tenant=acme, **YEARS)
    until = raised(found, 500)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> None:
        holds = await fits(book, rules, now=until - 1)
        assert len(holds) == 15
        await settled(book, holds[:3], cost=100, now=until - 1)  # 300 spent
        await settled(book, holds[3:], cost=0, now=until - 1)  # and 1,200 free, as far as the process knows
        late = await fits(book, rules, now=until)
        assert len(late) == 7
        await settled(book, late, cost=100, now=until)

    run(scenario, LeaseBook("one", shared=shared))
    assert standing(found) == (1_000, 0)
    window = BudgetWindow.objects.get()
    assert (window.limit, window.ceiling, window.overrun) == (1_000, 1_500, 0)
    assert verify.run().violations == 0


def test_what_was_spent_of_it_stays_spent_and_takes_nothing_back(acme):
    found = budget(1_000, tenant=acme, **YEARS)
    until = raised(found, 500)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> None:
        holds = await fits(book, rules, now=until - 1)
        last = holds.pop()
        await settled(book, holds, cost=100, now=until - 1)  # 1,400 of 1,000
        assert await fits(book, rules, now=until, unit=1) == []
        await settled(book, [last], cost=100, now=until)  # begun before, ended after

    run(scenario, LeaseBook("one", shared=True))
    assert standing(found) == (1_500, 0)
    assert verify.run().violations == 0


def test_a_stream_that_outgrows_its_reservation_gets_nothing_of_what_is_over(acme, monkeypatch):
    found = budget(1_000, tenant=acme, **YEARS)
    until = raised(found, 500)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> None:
        hold = await book.reserve(rules, amount=1_000, now=until - 1)
        monkeypatch.setattr(clock, "now", lambda: float(until))
        book.settle(await book.reserve(rules, amount=0, now=until), amount=0)
        assert not await book.extend_by_asking(hold, amount=1)
        book.settle(hold, amount=1_000)

    run(scenario, LeaseBook("one", shared=True))


def test_two_processes_go_back_each_by_itself(acme):
    found = budget(1_000, tenant=acme, **YEARS)
    until = raised(found, 500)
    rules = [rule(found)]

    async def scenario(one: LeaseBook, two: LeaseBook) -> None:
        mine = [await one.reserve(rules, amount=100, now=until - 1) for _ in range(6)]
        theirs = [await two.reserve(rules, amount=100, now=until - 1) for _ in range(6)]
        assert await fits(one, rules, now=until) == []
        await settled(one, mine, cost=0, now=until)
        await settled(two, theirs, cost=100, now=until)
        late = await fits(one, rules, now=until)
        # What the other has taken in advance is missing until it gives it back; it takes more while calls come fast.
        assert 2 <= len(late) <= 4
        await settled(one, late, cost=100, now=until)
        assert len(await fits(two, rules, now=until)) <= 4 - len(late)

    run(scenario, LeaseBook("one", shared=True), LeaseBook("two", shared=True))
    spent, held = standing(found)
    assert 800 <= spent <= 1_000
    assert held <= 100
    assert verify.run().violations == 0


def test_a_greater_amount_than_can_be_counted_is_the_greatest_that_can(acme):
    found = budget(9 * 10**18 - 10, tenant=acme, overdraft=10, **YEARS)
    raised(found, 9 * 10**18)
    assert rule(found).amount == 9 * 10**18 - 10
    quotas.update_budget(found, actor=None, overdraft=5)
    assert rule(found).amount == 9 * 10**18 - 5
