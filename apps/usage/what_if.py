"""What would be, were a price or a budget another one: read from the rollups, and nothing is changed."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.db.models import Sum

from apps.catalog.models import Deployment
from apps.domain import pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.keys.models import Key
from apps.quotas.models import Budget, BudgetWindow
from apps.usage import rollups
from apps.usage.models import HourlyRollup

DAYS = 7
MOST_CALLERS = 10
_COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total")
_SUBJECTS = {
    "tenant": "tenant",
    "project": "project",
    "user": "user",
    "key": "key",
    "model": "model",
    "endpoint": "pinned",
}


class Priced(NamedTuple):
    """Nano-USD of the whole hours from `since` on, as far as they are rolled up: what they were booked at, and what
    their tokens would have cost. `shared`: how many deployments of the model the provider has, whose tokens nothing
    tells apart."""

    since: datetime.datetime
    calls: int
    booked: int
    would_be: int
    shared: int


class Caller(NamedTuple):
    key_id: int | None
    name: str
    calls: int
    cost: int


class Stopped(NamedTuple):
    """How the present period would stand, nano-USD. `is_spent`: calls would be refused until `ends`. `callers`: whose
    calls of the last day those are, the dearest first."""

    settled: int
    held: int
    ends: datetime.datetime | None
    is_spent: bool
    callers: list[Caller]


def priced(deployment: Deployment, card: PriceCard, *, now: datetime.datetime) -> Priced:
    """Rounded once, where the ledger rounds each row: off by half a nano-dollar a call at most. Two queries."""
    since = rollups.hour_of(now) - datetime.timedelta(days=DAYS)
    rows = HourlyRollup.objects.filter(hour__gte=since, model=deployment.model_id, provider=deployment.provider_id)
    sums: dict[str, Any] = rows.aggregate(**{f"s_{name}": Sum(name) for name in (*_COUNTERS, "calls", "cost_nano")})
    found = {name.removeprefix("s_"): value or 0 for name, value in sums.items()}
    usage = TokenUsage(**{name: found[name] for name in _COUNTERS})
    shared = Deployment.objects.filter(model=deployment.model_id, provider=deployment.provider_id).count()
    return Priced(since, found["calls"], found["cost_nano"], pricing.cost(usage, card), shared)


def stopped(budget: Budget, amount: int, *, now: datetime.datetime) -> Stopped:
    """Were the budget of `amount`. Three queries."""
    window = BudgetWindow.objects.filter(budget=budget, starts__lte=now, ends__gt=now).first()
    settled, held = (window.settled, window.held + window.credit) if window is not None else (0, 0)
    return Stopped(
        settled, held, window.ends if window is not None else None, settled >= amount, _callers(budget, now=now)
    )


def _callers(budget: Budget, *, now: datetime.datetime) -> list[Caller]:
    subject = {_SUBJECTS[budget.scope]: budget.subject.pk}
    if budget.tenant_id is not None:
        subject["tenant"] = budget.tenant_id
    rows = HourlyRollup.objects.filter(hour__gte=rollups.hour_of(now) - datetime.timedelta(days=1), **subject)
    summed = (
        rows.order_by().values_list("key").annotate(count=Sum("calls"), cost=Sum("cost_nano")).order_by("-cost", "key")
    )
    found = list(summed[:MOST_CALLERS])
    names = dict(Key.objects.filter(pk__in=[key for key, _, _ in found if key]).values_list("pk", "name"))
    return [Caller(key, names.get(key, "without a key"), count, cost) for key, count, cost in found]
