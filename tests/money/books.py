"""Budgets, intents and outcomes to play with."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from apps.domain import ids
from apps.domain.snapshot import Budget as BudgetRule
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.quotas import services as quotas
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Budget, BudgetWindow
from apps.quotas.selectors import rule_book
from apps.usage.records import Intent, Outcome

Found = TypeVar("Found")
CARD = PriceCard(
    version=7,
    effective_from=0,
    input=3_000_000_000,
    output=15_000_000_000,
    cache_read=300_000_000,
    cache_write_5m=3_750_000_000,
    cache_write_1h=6_000_000_000,
)


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


def intent(*, hold: Any = None, at: float | None = None, **fields: Any) -> Intent:
    at = time.time() if at is None else at
    request = ids.request_id(now_ms=int(at * 1000), random_bits=uuid.uuid4().int)
    defaults = {"tenant_id": 1, "project_id": 1, "model_name": "claude", "card": CARD, "input_tokens": 100}
    if hold is not None:
        defaults |= {"windows": hold.windows, "leases": hold.leases, "reserved": hold.amount}
    return Intent(request_id=request, attempt=1, started_at=at, **(defaults | fields))


def outcome(of: Intent | None = None, *, cost: int = 0, **fields: Any) -> Outcome:
    usage = TokenUsage(in_fresh=10, out_total=5)
    defaults = {"status": "ok", "usage": usage, "usage_source": "provider", "http_status": 200}
    return Outcome(intent=of or intent(), cost=cost, **(defaults | fields))
