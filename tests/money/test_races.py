"""Processes and callers that race for one budget: all of it is used, and no more."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from apps.domain import errors
from apps.quotas.leases import LeaseBook
from apps.usage import ledger
from tests.money.books import NOW, budget, in_thread, race, rule, run
from tests.money.calls import intent, outcome


def test_exactly_what_the_budget_is_worth_is_admitted_of_200_at_once(acme):
    found = budget(100 * 7 + 6, tenant=acme)
    rules = [rule(found)]
    holds = run(lambda book: race(book, rules, amount=7, tasks=200), LeaseBook("one", shared=False))
    assert len(holds) == 100


def test_three_processes_that_share_a_budget_admit_exactly_its_worth(acme):
    found = budget(150 * 7, tenant=acme)
    rules = [rule(found)]

    async def scenario(*books: LeaseBook) -> list[int]:
        for book in books:
            await book.start()
        return [len(holds) for holds in await asyncio.gather(*(race(b, rules, amount=7, tasks=100) for b in books))]

    counts = run(scenario, *(LeaseBook(f"replica {n}", shared=True) for n in range(3)))
    assert sum(counts) == 150


def test_what_one_process_holds_and_does_not_need_comes_back_to_another(acme):
    rules = [rule(budget(1_000, tenant=acme))]

    async def scenario(hoarder: LeaseBook, needy: LeaseBook) -> None:
        await hoarder.start()
        hold = await hoarder.reserve(rules, amount=900, now=NOW)
        hoarder.settle(hold, amount=1)
        await needy.reserve(rules, amount=950, now=NOW)

    run(scenario, LeaseBook("hoarder", shared=True), LeaseBook("needy", shared=True))


def test_sequential_traffic_over_three_processes_spends_the_last_cent(acme):
    rules = [rule(budget(100 * 7, tenant=acme))]

    async def scenario(*books: LeaseBook) -> int:
        for book in books:
            await book.start()
        for count in itertools.count():
            try:
                await books[count % 3].reserve(rules, amount=7, now=NOW)
            except errors.BudgetExhausted:
                return count
        raise AssertionError

    assert run(scenario, *(LeaseBook(f"replica {n}", shared=True) for n in range(3))) == 100


def test_three_processes_of_two_hundred_callers_admit_exactly_a_thousand_of_a_thousand(acme):
    rules = [rule(budget(1_000 * 7, tenant=acme))]

    async def caller(book: LeaseBook) -> int:
        for count in itertools.count():
            try:
                hold = await book.reserve(rules, amount=7, now=NOW)
            except errors.BudgetExhausted:
                return count
            await asyncio.sleep(0)
            book.settle(hold, amount=7)
        raise AssertionError

    async def scenario(*books: LeaseBook) -> int:
        for book in books:
            await book.start()
        return sum(await asyncio.gather(*(caller(book) for book in books for _ in range(200))))

    assert run(scenario, *(LeaseBook(f"replica {n}", shared=True) for n in range(3))) == 1_000


@pytest.mark.parametrize("overdraft", [0, 5_000])
def test_sequential_calls_of_all_sizes_over_three_processes_use_99_percent_before_a_refusal(acme, overdraft):
    """A reservation is a thousandth of the budget at most; what is spent of it is anything."""
    amount = 100_000
    dice = random.Random(3)
    rules = [rule(budget(amount, tenant=acme, overdraft=overdraft))]

    async def scenario(*books: LeaseBook) -> int:
        spent = 0
        for book in books:
            await book.start()
        for count in itertools.count():
            book, most = books[count % 3], dice.randint(1, 100)
            try:
                hold = await book.reserve(rules, amount=most, expected=most // 3 if overdraft else most, now=NOW)
            except errors.BudgetExhausted:
                return spent
            cost = dice.randint(most // 2, most)
            book.settle(hold, amount=cost)
            spent += cost
            if count % 20 == 0:
                await in_thread(ledger.post, [outcome(intent(hold=hold), cost=cost)])
        raise AssertionError

    spent = run(scenario, *(LeaseBook(f"replica {n}", shared=True) for n in range(3)))
    assert amount * 0.99 <= spent <= amount + overdraft
