"""What a call is told that a budget has no money for."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from apps.domain import errors
from apps.quotas import leases
from apps.quotas.leases import LeaseBook
from tests.money.books import NOW, at_once, budget, rule, run


def test_a_refusal_says_when_the_budget_is_full_again(acme):
    monthly, daily = budget(10, tenant=acme), budget(10, tenant=acme, period="day")
    rules = [rule(monthly), rule(daily)]

    async def scenario(book: LeaseBook) -> errors.BudgetExhausted:
        book.settle(await book.reserve(rules, amount=10, now=NOW), amount=10)
        with pytest.raises(errors.BudgetExhausted) as caught:
            await book.reserve(rules, amount=10, now=NOW)
        return caught.value

    error = run(scenario, LeaseBook("one", shared=False))
    assert error.message == "spend limit reached (monthly; resets 2026-12-01 00:00 UTC)"
    assert error.retry_after == datetime(2026, 12, 1, tzinfo=UTC).timestamp() - NOW


@pytest.mark.parametrize("shared", [False, True])
def test_a_call_too_dear_for_what_is_left_is_told_what_is_left(acme, shared):
    rules = [rule(budget(100, tenant=acme))]

    async def scenario(book: LeaseBook) -> list[errors.BudgetExhausted]:
        book.settle(await book.reserve(rules, amount=40, now=NOW), amount=40)
        refused = []
        for amount in (70, 101):
            with pytest.raises(errors.BudgetExhausted) as caught:
                await book.reserve(rules, amount=amount, now=NOW)
            refused.append(caught.value)
        return refused

    dear, too_dear = run(scenario, LeaseBook("one", shared=shared))
    assert "up to $0.00000007, and $0.00000006 is left of the monthly budget of this tenant" in dear.message
    assert dear.retry_after == datetime(2026, 12, 1, tzinfo=UTC).timestamp() - NOW
    assert "$0.0000001 is all of the monthly budget" in too_dear.message
    assert too_dear.retry_after is None


@pytest.mark.parametrize("shared", [False, True])
def test_what_calls_in_flight_hold_is_waited_for_and_then_refused_as_held_and_not_as_spent(acme, shared):
    rules = [rule(budget(2_000_000_000, tenant=acme, period="day"))]

    async def scenario(book: LeaseBook) -> errors.BudgetHeld:
        await book.reserve(rules, amount=1_500_000_000, now=NOW)
        began = time.monotonic()
        with pytest.raises(errors.BudgetHeld) as caught:
            await book.reserve(rules, amount=600_000_000, now=NOW)
        assert time.monotonic() - began > leases.RECALL_SECONDS
        return caught.value

    refused = run(scenario, LeaseBook("one", shared=shared))
    assert refused.message.startswith("$1.50 of the daily budget of this tenant are reserved by calls in flight")
    assert (refused.code, refused.retry_after, refused.should_retry) == ("budget_reserved", 2.0, None)


def test_a_call_that_waits_for_others_passes_when_one_of_them_ends(acme):
    rules = [rule(budget(100, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        first = await book.reserve(rules, amount=80, now=NOW)
        asyncio.get_running_loop().call_later(0.3, lambda: book.settle(first, amount=10))
        await book.reserve(rules, amount=90, now=NOW)

    run(scenario, LeaseBook("one", shared=False))


def test_a_refusal_is_repeated_without_asking_again(acme):
    rules = [rule(budget(10, tenant=acme))]

    async def scenario(book: LeaseBook) -> None:
        for ask in (lambda coroutine: coroutine, _resolved):
            with pytest.raises(errors.BudgetExhausted):
                await ask(book.reserve(rules, amount=11, now=NOW))
        at_once(book.reserve(rules, amount=10, now=NOW))

    run(scenario, LeaseBook("one", shared=False))


async def _resolved(coroutine):
    return at_once(coroutine)
