"""Periods of a budget: where they begin and end in a time zone, and how that is said."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from apps.domain import days as calendar
from apps.domain import money
from apps.domain.snapshot import Budget, Period

SAID: dict[Period, str] = {"day": "daily", "week": "weekly", "month": "monthly", "fixed": "fixed-period"}
_CURE = "set or lower max_tokens (OpenAI: max_completion_tokens) or shorten the prompt"


class Span(msgspec.Struct, frozen=True):
    """Unix seconds; `ends` is the first second after it."""

    starts: int
    ends: int


def span(period: Period, *, timezone: str, now: float) -> Span:
    """The period that `now` (unix seconds) falls in. Weeks begin on Monday.

    A border is local midnight; see `days.begins`.
    """
    zone = ZoneInfo(timezone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    if period == "day":
        first, after = today, today + timedelta(days=1)
    elif period == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    elif period == "month":
        first = today.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        raise ValueError("a fixed period does not depend on the moment")
    return Span(_midnight(first, zone), _midnight(after, zone))


def days(first: date, last: date, *, timezone: str) -> Span:
    """From the beginning of the first day to the end of the last."""
    zone = ZoneInfo(timezone)
    return Span(_midnight(first, zone), _midnight(last + timedelta(days=1), zone))


def span_of(budget: Budget, *, now: float) -> Span:
    return Span(*budget.days) if budget.days is not None else span(budget.period, timezone=budget.timezone, now=now)


def closed(budget: Budget, *, now: float) -> str | None:
    """Why nothing at all may be spent of a fixed period now: it has not begun, or is over."""
    if budget.days is None or budget.days[0] <= now < budget.days[1]:
        return None
    begins, ends = budget.days
    if now < begins:
        return f"the budget of this {budget.scope} begins at {resets(begins, timezone=budget.timezone)}"
    return f"the budget of this {budget.scope} ended at {resets(ends, timezone=budget.timezone)}"


def resets(moment: int, *, timezone: str) -> str:
    """A border as a person reads it: "2026-12-01 00:00 UTC"."""
    return f"{datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M} {timezone}"


def refusal(budget: Budget, *, cost: int, left: int, ends: int, is_likely: bool = False) -> str:
    """Why a call that may cost this much is not made: the budget is spent, or only this call is too dear for it.

    `left` is what no call has spent or holds, the overdraft included; without it where `cost` is not the most but what
    the call will likely cost. The first wording is the one that Claude Code's
    users know (PROTOCOLS A12); it would be untrue of a budget that is hardly touched.
    """
    said, reset = SAID[budget.period], _end(budget, ends)
    if left <= 0:
        return f"spend limit reached ({said}; {reset})"
    whole = budget.amount if is_likely else budget.amount + budget.overdraft
    could = "is likely to cost" if is_likely else "could cost up to"
    rest = f"is all of the {said} budget" if cost > whole else f"is left of the {said} budget"
    left = whole if cost > whole else left
    return (
        f"this call {could} {money.exact(cost)}, and {money.exact(left)} {rest} of this {budget.scope} "
        f"({reset}); {_CURE}"
    )


def held(budget: Budget, *, cost: int, reserved: int) -> str:
    """Why a call is not made that may be made in a moment: what it needs is promised to others, and not spent."""
    return (
        f"{money.exact(reserved)} of the {SAID[budget.period]} budget of this {budget.scope} are reserved by calls in "
        f"flight, and this call could cost up to {money.exact(cost)}: try again in a moment, or {_CURE}"
    )


def outgrown(budgets: Iterable[Budget], *, reserved: int) -> str:
    """Why an answer ends before its end: it has cost more than was reserved for it, and there is no more."""
    subjects = " and ".join(f"the {SAID[budget.period]} budget of this {budget.scope}" for budget in budgets)
    return (
        f"budget exhausted: the answer has cost more than the {money.exact(reserved)} that were reserved for it, and "
        f"{subjects} cannot cover more"
    )


def _end(budget: Budget, ends: int) -> str:
    return f"{'resets' if budget.days is None else 'ends'} {resets(ends, timezone=budget.timezone)}"


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(calendar.begins(day, zone).timestamp())
