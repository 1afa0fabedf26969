"""What a month will come to, and when a budget will be used up, if things go on as they are.

The method is plain: a day is expected to cost the mean of the last seven full days; where usage began later, of the
full days since. What is left of the present day counts by its share. Nothing is foretold before there is a full day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import Q

from apps.domain import days as calendar
from apps.quotas import selectors as quotas
from apps.quotas.models import Budget, BudgetWindow
from apps.usage.reports import spans
from apps.usage.reports.breakdowns import summed
from apps.usage.reports.sources import Question, Scope, Standing, sources
from apps.usage.reports.spans import DAY, Span

FULL_DAYS = 7
METHOD = "the mean of the last 7 full days, for each day that is left"


class Month(msgspec.Struct, frozen=True):
    """Nano-USD: spent in the calendar month, expected a day, and by its end; None: there is no full day to go by."""

    spent: int
    daily: int | None
    expected: int | None
    ends: datetime


class Burn(msgspec.Struct, frozen=True):
    """A budget's present period. `left`: nano-USD when each day began, and now; `ahead`: from
    now on, to the period's end or until nothing is left. `exhausted_at` None: the period ends before that."""

    subject: str
    limit: int
    settled: int
    held: int
    starts: datetime
    ends: datetime
    left: list[tuple[datetime, int]]
    ahead: list[tuple[datetime, int]]
    daily: int | None
    exhausted_at: datetime | None

    @property
    def rest(self) -> int:
        return self.limit - self.settled

    @property
    def is_exhausted(self) -> bool:
        return self.settled >= self.limit


def month(question: Question, standing: Standing, now: datetime) -> Month:
    """One query."""
    zone = question.scope.zone
    this = spans.preset("month", zone, now)
    first = min(this.first, this.last - FULL_DAYS * DAY)
    costs = _by_day(question, standing, spans.daily(first, this.last, zone), name="cost_nano")
    spent = sum(costs[(this.first - first).days :])
    ends = calendar.begins((this.first + 31 * DAY).replace(day=1), ZoneInfo(zone))
    daily = mean(costs[:-1])
    expected = None if daily is None else spent + _times(daily, ends - now)
    return Month(spent, daily, expected, ends)


def nearest(scope: Scope, now: datetime, count: int) -> list[tuple[BudgetWindow, str]]:
    """Periods of the budgets that most is gone of, with whose they are: of a tenant, or of one of its users. Two
    queries at most."""
    if scope.tenant_id is None:
        return quotas.most_used(now, count)
    if scope.user_id is None:
        return quotas.most_used(now, count, tenant_id=scope.tenant_id)
    own = Q(budget__user=scope.user_id) & (Q(budget__tenant=None) | Q(budget__tenant=scope.tenant_id))
    windows = BudgetWindow.objects.filter(own, budget__is_enabled=True, starts__lte=now, ends__gt=now)
    rows = windows.select_related("budget").order_by("limit", "pk")
    return [(row, "you") for row in rows[:count]]


def burn(window: BudgetWindow, subject: str, scope: Scope, standing: Standing, now: datetime) -> Burn:
    """How a period of a budget is used up. One query. The line ends at what the budget itself has counted: what it was
    charged and no row of the scope's shows (a model's calls by other tenants) shifts it as a whole."""
    question = _about(window.budget, scope)
    place = ZoneInfo(scope.zone)
    first, today = (calendar.day_of(moment, place) for moment in (window.starts, now))
    begun = min(first, today - FULL_DAYS * DAY)
    charged = _by_day(question, standing, spans.daily(begun, today, scope.zone), name="high_nano")
    within = charged[(first - begun).days :]
    daily = mean(charged[:-1])
    left = [(now, window.limit - window.settled)]
    for number in reversed(range(len(within))):
        begins = max(window.starts, calendar.begins(first + number * DAY, place))
        left.append((begins, left[-1][1] + within[number]))
    exhausted_at, ahead = _ahead(left[0][1], daily, now, window.ends)
    return Burn(
        *(subject, window.limit, window.settled, window.held, window.starts, window.ends, left[::-1]),
        *(ahead, daily, exhausted_at),
    )


def _about(budget: Budget, scope: Scope) -> Question:
    """Whatever the budget restrains of the scope."""
    subjects = {"project": budget.project_id, "user": budget.user_id, "key": budget.key_id, "model": budget.model_id}
    where = {**subjects, "pinned": budget.endpoint_id}
    return Question(scope, tuple((name, value) for name, value in where.items() if value is not None))


def mean(costs: Sequence[int]) -> int | None:
    """Of the last FULL_DAYS of these full days, oldest first; where nothing came before them, of those after the day on
    which usage began, which it had only a part of. None: there is none."""
    begun = next((number for number, cost in enumerate(costs) if cost), None)
    if begun is None:
        return None
    is_old = begun == 0 or begun < len(costs) - FULL_DAYS
    counted = costs[-FULL_DAYS:] if is_old else costs[begun + 1 :]
    return sum(counted) // len(counted) if counted else None


def _ahead(
    left: int, daily: int | None, now: datetime, ends: datetime
) -> tuple[datetime | None, list[tuple[datetime, int]]]:
    if daily is None or left <= 0:
        return None, []
    gone = _times(daily, ends - now)
    if gone <= left or daily <= 0:
        return None, [(now, left), (ends, left - gone)]
    exhausted_at = now + timedelta(seconds=left * DAY.total_seconds() / daily)
    return exhausted_at, [(now, left), (exhausted_at, 0)]


def _by_day(question: Question, standing: Standing, span: Span, *, name: str) -> list[int]:
    found = [0] * len(span.marks)
    for moment, _, amounts in summed(sources(question, None, span.starts, span.ends, standing)):
        found[span.bucket(moment)] += getattr(amounts, name)
    return found


def _times(daily: int, length: timedelta) -> int:
    return daily * int(length.total_seconds()) // int(DAY.total_seconds())
