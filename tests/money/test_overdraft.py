"""What calls may cost at worst may exceed a budget's amount by its overdraft, what they do cost hardly ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import pytest

from apps.domain import errors
from apps.quotas import services as quotas
from apps.quotas import windows
from apps.quotas.leases import Hold, LeaseBook
from apps.quotas.models import BudgetWindow, Lease
from apps.usage import ledger
from apps.usage.books import verify
from tests.money.books import at_once, budget, in_thread, rule, run, window
from tests.money.calls import intent, outcome

NOW = time.time()


def check(found) -> BudgetWindow:
    """I1, and that the window's counters are its leases', while heartbeats may give some back."""
    with verify.snapshot():
        row = window(found)
        leases = list(Lease.objects.filter(window=row, is_open=True))
    held = sum(lease.granted - lease.settled for lease in leases)
    assert (row.held, row.credit) == (held, sum(lease.credit for lease in leases))
    assert row.settled + row.held + row.credit <= row.ceiling + row.overrun
    return row


async def book_it(book: LeaseBook, hold: Hold, cost: int) -> None:
    book.settle(hold, amount=cost)
    await in_thread(ledger.post, [outcome(intent(hold=hold), cost=cost)])


async def fill(book: LeaseBook, rules, *, amount: int, expected: int) -> list[Hold]:
    """As many at one time as are admitted."""
    holds = []
    with contextlib.suppress(errors.BudgetExhausted):
        while True:
            holds.append(await book.reserve(rules, amount=amount, expected=expected, now=NOW))
    return holds


@pytest.mark.parametrize("shared", [False, True])
def test_calls_with_huge_caps_are_admitted_by_what_they_are_expected_to_cost(acme, shared):
    found = budget(1_000, tenant=acme, overdraft=5_000)
    rules = [rule(found)]
    holds = run(lambda book: fill(book, rules, amount=400, expected=10), LeaseBook("one", shared=shared))
    assert len(holds) == 15  # fifteen times 390 fit the overdraft, ten more the amount, of which all expect 150
    check(found)


@pytest.mark.parametrize("shared", [False, True])
def test_without_an_overdraft_only_the_worst_case_counts(acme, shared):
    rules = [rule(budget(1_000, tenant=acme))]
    holds = run(lambda book: fill(book, rules, amount=400, expected=10), LeaseBook("one", shared=shared))
    assert len(holds) == 2


@pytest.mark.parametrize("shared", [False, True])
def test_even_if_every_call_costs_the_most_the_amount_and_the_overdraft_are_not_exceeded(acme, shared):
    found = budget(1_000, tenant=acme, overdraft=800)
    rules = [rule(found)]

    async def scenario(book: LeaseBook) -> None:
        for _ in range(3):
            for hold in await fill(book, rules, amount=100, expected=3):
                await book_it(book, hold, 100)
        await in_thread(check, found)

    run(scenario, LeaseBook("one", shared=shared))
    row = check(found)
    assert row.settled == 1_800
    assert (row.held, row.credit, row.overrun) == (0, 0, 0)


def test_when_the_amount_is_spent_the_overdraft_admits_nothing(acme):
    rules = [rule(budget(100, tenant=acme, overdraft=900))]

    async def scenario(book: LeaseBook) -> str:
        await book_it(book, await book.reserve(rules, amount=300, expected=100, now=NOW), 100)
        with pytest.raises(errors.BudgetExhausted, match="spend limit reached") as caught:
            await book.reserve(rules, amount=10, expected=1, now=NOW)
        return caught.value.code

    assert run(scenario, LeaseBook("one", shared=False)) == "insufficient_quota"


def test_credit_is_free_again_as_soon_as_a_call_has_ended(acme):
    rules = [rule(budget(1_000, tenant=acme, overdraft=90))]

    async def scenario(book: LeaseBook) -> None:
        await book.reserve(rules, amount=1, expected=1, now=NOW)
        for _ in range(90):
            book.settle(at_once(book.reserve(rules, amount=100, expected=10, now=NOW)), amount=10)

    run(scenario, LeaseBook("one", shared=False))


def test_what_a_lease_cannot_pay_comes_out_of_its_credit_and_then_is_an_overrun(acme):
    found = budget(100, tenant=acme, overdraft=50)
    ask = windows.Ask(rule=rule(found), need=100, demand=100, unit=100)
    (grant,) = windows.acquire([ask], replica="one", epoch=windows.register("one"), now=NOW, replicas=None)
    charged = intent(windows=(grant.window_id,), leases=(grant.lease_id,))
    expected = {0: (70, 30, 50, 0), 1: (140, 0, 10, 0), 2: (210, 0, 0, 60)}
    for attempt, standing in expected.items():
        ledger.post([outcome(intent(windows=charged.windows, leases=charged.leases), cost=70)])
        row = check(found)
        assert (row.settled, row.held, row.credit, row.overrun) == standing, attempt


def test_what_was_let_pass_without_a_lease_is_an_overrun(acme):
    found = budget(100, tenant=acme)
    ask = windows.Ask(rule=rule(found), need=10, demand=10, unit=10)
    (grant,) = windows.acquire([ask], replica="one", epoch=windows.register("one"), now=NOW, replicas=2)
    ledger.post([outcome(intent(windows=(grant.window_id,), leases=(0,)), cost=25)])
    row = check(found)
    assert (row.settled, row.overrun) == (25, 25)


def test_a_lowered_overdraft_is_taken_back(acme):
    found = budget(100, tenant=acme, overdraft=900)

    async def scenario(book: LeaseBook) -> int:
        before = await in_thread(rule, found)
        hold = await book.reserve([before], amount=300, expected=10, now=NOW)
        await in_thread(quotas.update_budget, found, actor=None, overdraft=0)
        after = await in_thread(rule, found)
        with pytest.raises(errors.BudgetHeld):
            await book.reserve([after], amount=100, expected=1, now=NOW)
        row = await in_thread(check, found)
        await book_it(book, hold, 20)
        return row.credit

    assert run(scenario, LeaseBook("one", shared=False)) == 290
    row = check(found)
    assert (row.settled, row.held, row.credit, row.ceiling) == (20, 0, 0, 1_000)


@pytest.mark.parametrize("seed", range(3))
def test_three_processes_that_race_with_an_overdraft_never_pass_amount_and_overdraft(acme, seed):
    """Each call costs anything up to its worst; what is posted late, returned and asked for again interleaves."""
    dice = random.Random(seed)
    found = budget(2_000, tenant=acme, overdraft=1_000)
    rules = [rule(found)]
    posted: list[int] = []

    async def caller(book: LeaseBook) -> None:
        for _ in range(12):
            most = dice.randint(1, 200)
            try:
                hold = await book.reserve(rules, amount=most, expected=dice.randint(0, most // 4), now=NOW)
            except (errors.BudgetExhausted, errors.Unavailable):
                continue
            await asyncio.sleep(dice.random() / 100)
            cost = dice.randint(0, most)
            posted.append(cost)
            await book_it(book, hold, cost)
            if dice.random() < 0.1:
                await book._tidy(NOW + 60)

    async def scenario(*books: LeaseBook) -> None:
        for book in books:
            await book.start()
        await asyncio.gather(*(caller(book) for book in books for _ in range(4)))
        await in_thread(check, found)

    run(scenario, *(LeaseBook(f"replica {n}", shared=True) for n in range(3)))
    row = check(found)
    assert row.settled == sum(posted) <= 3_000
    assert (row.held, row.credit, row.overrun) == (0, 0, 0)


def test_a_lease_waits_for_what_was_spent_beyond_it(acme):
    """Closed before that is in the ledger, it would be taken up again with a debt that nobody pays off."""
    found = budget(100, tenant=acme)
    ask = windows.Ask(rule=rule(found), need=100, demand=100, unit=100)
    (grant,) = windows.acquire([ask], replica="one", epoch=windows.register("one"), now=time.time(), replicas=2)
    paid = {"windows": (grant.window_id,), "leases": (grant.lease_id,), "reserved": 100}
    first, late = (outcome(intent(**paid), cost=cost) for cost in (100, 30))
    keeps = {grant.lease_id: windows.Keep(130, 130)}
    ledger.post([first])
    assert windows.release(keeps) == set()
    ledger.post([late])
    assert windows.release(keeps) == {grant.lease_id}
    assert (window(found).settled, window(found).held, window(found).overrun) == (130, 0, 30)
    assert Lease.objects.get().settled == 130
