"""What the admin's first page tells of money and speed, each figure with the rule that it follows."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from apps.domain import ids
from apps.quotas.models import Budget, Period
from apps.usage import rollups, selectors
from apps.usage.models import NOT_ERRORS, Entry, Kind

NEWEST = 1_000  # answers that a percentile is taken of
WITHIN = timedelta(hours=1)
LEAST_FORECAST = timedelta(days=1)  # before, a month's pace says nothing


class Month(NamedTuple):
    """Nano-USD since the first of the month (UTC). `forecast`: what it comes to at the pace so far; None: too early.
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
    """Of rollups, and of the ledger what is not rolled up yet."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spent = selectors.add([hour.totals for hour in selectors.by_hour(first, rollups.hour_of(now))]).cost
    elapsed = now - first
    whole = timedelta(days=calendar.monthrange(first.year, first.month)[1])
    forecast = int(spent * (whole / elapsed)) if elapsed >= LEAST_FORECAST else None
    narrow = Q(project=None, user=None, key=None, model=None, endpoint=None)
    amounts = Budget.objects.filter(narrow, period=Period.MONTH, is_enabled=True, tenant__is_active=True)
    found = list(amounts.values_list("amount", flat=True))
    return Month(spent, forecast, sum(found), len(found))


def speed(now: datetime) -> Speed:
    """Read along the ledger's primary key, from the newest back."""
    since = ids.floor(int((now - WITHIN).timestamp() * 1000))
    answers = Entry.objects.filter(id__gte=since, kind__lt=Kind.CORRECTION, status__in=NOT_ERRORS)
    found = sorted(answers.order_by("-id").values_list("latency_ms", flat=True)[:NEWEST])
    return Speed(found[math.ceil(0.95 * len(found)) - 1] if found else None, len(found))
