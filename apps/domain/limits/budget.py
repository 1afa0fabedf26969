"""Periods of a budget: where they begin and end in a time zone, and how that is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from apps.domain.snapshot import Period

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


def refusal(period: Period, *, ends: int, timezone: str) -> str:
    return f"spend limit reached ({SAID[period]}; resets {resets(ends, timezone=timezone)})"


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
