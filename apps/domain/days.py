"""Days of a time zone: where they begin, and which one a moment falls in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def begins(day: date, zone: ZoneInfo) -> datetime:
    """Local midnight, in UTC. Where the clock skips midnight it is the moment of the jump; where midnight comes twice
    it is the first. So days are of 23 to 25 hours, without gap or overlap."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()
