"""What the admin's first page tells of money and speed, each figure with the rule that it follows."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from apps.domain import ids
from apps.quotas.models import Budget, Period
from apps.usage.models import NOT_ERRORS, Entry, Kind
from apps.usage.reports import forecasts
from apps.usage.reports.sources import Question, Scope, standing

NEWEST = 1_000  # answers that a percentile is taken of
WITHIN = timedelta(hours=1)


class Month(NamedTuple):
    """Nano-USD since the first of the month (UTC). `forecast`: what it comes to by its end, as every page foretells it
    (`reports.forecasts`); None: there is no full day to go by.
    `budgeted`: the monthly budgets in force of all tenants together, and of how many."""

    spent: int
    forecast: int | None
    budgeted: int
    budgets: int


class Speed(NamedTuple):
    """The 95th percentile, in milliseconds, of the newest `answers` that came within the hour; None: there were none.
    No more than NEWEST are looked at."""

    p95_ms: int | None
    answers: int


def month(now: datetime) -> Month:
    """Of days that are over and hours since, as reports sum them up; five queries."""
    everybody = Scope(None)
    found = forecasts.month(Question(everybody), standing(everybody, now), now)
    narrow = Q(project=None, user=None, key=None, model=None, endpoint=None)
    amounts = Budget.objects.filter(narrow, period=Period.MONTH, is_enabled=True, tenant__is_active=True)
    budgets = list(amounts.values_list("amount", flat=True))
    return Month(found.spent, found.expected, sum(budgets), len(budgets))


def speed(now: datetime) -> Speed:
    """Read along the ledger's primary key, from the newest back."""
    since = ids.floor(int((now - WITHIN).timestamp() * 1000))
    answers = Entry.objects.filter(id__gte=since, kind__lt=Kind.CORRECTION, status__in=NOT_ERRORS)
    found = sorted(answers.order_by("-id").values_list("latency_ms", flat=True)[:NEWEST])
    return Speed(found[math.ceil(0.95 * len(found)) - 1] if found else None, len(found))
