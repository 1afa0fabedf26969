"""Budgets to play with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import connection

from apps.domain import errors
from apps.domain.snapshot import Budget as BudgetRule
from apps.quotas import services as quotas
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Budget, BudgetWindow
from apps.quotas.selectors import rule_book
from apps.quotas.slices import Hold

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
Found = TypeVar("Found")


def budget(amount: int, **fields: Any) -> Budget:
    return quotas.create_budget(actor=None, amount=amount, **fields)


def rule(of: Budget) -> BudgetRule:
    """As the data plane gets it, of a tenant's or a project's budget."""
    book = rule_book()
    found = [known for rules in (*book.tenants.values(), *book.projects.values()) for known in rules.budgets]
    return next(known for known in found if known.id == of.pk)


def window(of: Budget) -> BudgetWindow:
    """The newest."""
    return BudgetWindow.objects.filter(budget=of).latest("starts")


def standing(of: Budget) -> tuple[int, int]:
    """Settled and held in the newest window."""
    found = window(of)
    return found.settled, found.held


def run(scenario: Callable[..., Awaitable[Found]], *books: LeaseBook) -> Found:
    """The scenario on a loop of its own, with the books closed at its end."""

    async def play() -> Found:
        try:
            return await scenario(*books)
        finally:
            for book in books:
                await book.close()

    return asyncio.run(play())


async def in_thread(work: Callable[..., Found], *arguments: Any, **named: Any) -> Found:
    """Database work beside the loop; leaves no connection behind."""

    def job() -> Found:
        try:
            return work(*arguments, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(job)


def at_once(coroutine):
    """The result of a coroutine that never waits; a waiting one fails."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise AssertionError("it waited")


async def race(book: LeaseBook, rules: Sequence[BudgetRule], *, amount: int, tasks: int) -> list[Hold]:
    """What so many callers at once are admitted with."""

    async def one() -> Hold | None:
        try:
            return await book.reserve(rules, amount=amount, now=NOW)
        except errors.BudgetExhausted:
            return None

    return [hold for hold in await asyncio.gather(*(one() for _ in range(tasks))) if hold is not None]
