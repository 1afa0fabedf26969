"""Spans of time that reports are about, in a time zone that they state: whole days of it, or the last hours."""

from __future__ import annotations

import bisect
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from apps.domain import days as calendar
from apps.usage import rollups

DAY = timedelta(days=1)
# Of a span that somebody has chosen.
MOST_DAYS = 366
HOURLY_DAYS = 2
PRESETS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "month": "Month to date"}
CUSTOM = "custom"
USUAL = "30d"


class Span(msgspec.Struct, frozen=True):
    """From `starts` to before `ends`, in UTC, in buckets that begin at `marks`."""

    name: str
    zone: str
    starts: datetime
    ends: datetime
    step: Literal["hour", "day"]
    marks: tuple[datetime, ...]

    @property
    def place(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def first(self) -> date:
        return calendar.day_of(self.starts, self.place)

    @property
    def last(self) -> date:
        return calendar.day_of(self.ends - timedelta(seconds=1), self.place)

    def bucket(self, moment: datetime | date) -> int:
        """Which of the marks a moment, or a day of the zone, belongs to."""
        if not isinstance(moment, datetime):
            moment = calendar.begins(moment, self.place)
        return max(0, bisect.bisect_right(self.marks, moment) - 1)

    def ends_of(self, bucket: int) -> datetime:
        return self.marks[bucket + 1] if bucket + 1 < len(self.marks) else self.ends


def preset(name: str, zone: str, now: datetime) -> Span:
    """Raises KeyError for a name that is not in PRESETS."""
    PRESETS[name]
    if name == "24h":
        ends = rollups.hour_of(now) + rollups.HOUR
        return _hourly(name, zone, ends - DAY, ends)
    today = calendar.day_of(now, ZoneInfo(zone))
    first = {"7d": today - 6 * DAY, "30d": today - 29 * DAY, "month": today.replace(day=1)}[name]
    return daily(first, today, zone, name=name)


def chosen(first: date, last: date, zone: str) -> Span:
    """Both days included; one or two of them hour by hour. Raises ValueError for what ends before it begins, or is too
    long."""
    if last < first:
        raise ValueError("It ends before it begins.")
    if (last - first).days >= MOST_DAYS:
        raise ValueError(f"No more than {MOST_DAYS} days.")
    if (last - first).days < HOURLY_DAYS:
        place = ZoneInfo(zone)
        return _hourly(CUSTOM, zone, calendar.begins(first, place), calendar.begins(last + DAY, place))
    return daily(first, last, zone)


def before(span: Span, now: datetime) -> Span:
    """The span of equal length that ends where this one begins. Where this one is not over, that one goes as far into
    its last day, to the end of the same hour, so that the two can be compared."""
    if span.name == "24h":
        return _hourly(span.name, span.zone, span.starts - DAY, span.starts)
    length = span.last - span.first + DAY
    earlier = daily(span.first - length, span.last - length, span.zone, name=span.name)
    through = rollups.hour_of(now) + rollups.HOUR
    if not span.starts < through < span.ends:
        return earlier
    today = calendar.day_of(through - timedelta(seconds=1), span.place)
    gone = through - calendar.begins(today, span.place)
    ends = rollups.hour_of(calendar.begins(today - length, span.place) + gone)
    marks = tuple(mark for mark in earlier.marks if mark < ends)
    return Span(span.name, span.zone, earlier.starts, ends, "day", marks)


def _hourly(name: str, zone: str, starts: datetime, ends: datetime) -> Span:
    first = rollups.hour_of(starts)
    hours = [first + count * rollups.HOUR for count in range(-(-(ends - first) // rollups.HOUR))]
    return Span(name, zone, starts, ends, "hour", (starts, *(hour for hour in hours if hour > starts)))


def daily(first: date, last: date, zone: str, *, name: str = CUSTOM) -> Span:
    """Both days included."""
    place = ZoneInfo(zone)
    days = [first + count * DAY for count in range((last - first).days + 1)]
    marks = tuple(calendar.begins(day, place).astimezone(UTC) for day in days)
    return Span(name, zone, marks[0], calendar.begins(last + DAY, place), "day", marks)
