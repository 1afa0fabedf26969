"""Periods of a budget: where they begin and end in a time zone, and how that is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from apps.domain import money
from apps.domain.snapshot import Budget, Period

SAID: dict[Period, str] = {"day": "daily", "week": "weekly", "month": "monthly"}


class Span(msgspec.Struct, frozen=True):
    """Unix seconds; `ends` is the first second after it."""

    starts: int
    ends: int


def span(period: Period, *, timezone: str, now: float) -> Span:
    """The period that `now` (unix seconds) falls in. Weeks begin on Monday.

    A border is local midnight. Where the clock skips midnight it is the moment of the jump; where midnight comes twice
    it is the first. So days are of 23 to 25 hours, without gap or overlap.
    """
    zone = ZoneInfo(timezone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    if period == "day":
        first, after = today, today + timedelta(days=1)
    elif period == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return Span(_midnight(first, zone), _midnight(after, zone))


def resets(moment: int, *, timezone: str) -> str:
    """A border as a person reads it: "2026-12-01 00:00 UTC"."""
    return f"{datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} {timezone}"


def refusal(budget: Budget, *, cost: int, left: int, ends: int) -> str:
    """Why a call that may cost this much is not made: the budget is spent, or only this call is too dear for it.

    `left` is what no call has spent or holds. The first wording is the one that Claude Code's users know (PROTOCOLS
    A12); it would be untrue of a budget that is hardly touched.
    """
    period, reset = SAID[budget.period], resets(ends, timezone=budget.timezone)
    if left <= 0:
        return f"spend limit reached ({period}; resets {reset})"
    rest = f"is all of the {period} budget" if cost > budget.amount else f"is left of the {period} budget"
    left = budget.amount if cost > budget.amount else left
    return (
        f"this call could cost up to {money.exact(cost)}, and {money.exact(left)} {rest} of this {budget.scope} "
        f"(resets {reset}); set or lower max_tokens (OpenAI: max_completion_tokens) or shorten the prompt"
    )


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
