"""Daily rollups against the hourly ones that they are the sums of, which `sums` holds against the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from django.db.models import Max, Min

from apps.domain import days as calendar
from apps.usage import days, rollups
from apps.usage.books.promises import Finding, Progress, Scope, rows
from apps.usage.models import Calendar, HourlyRollup, Level

_SUMS = ", ".join(f"SUM({name}) AS {name}" for name in rollups.SUMS)
_NEGATED = ", ".join(f"-{name} AS {name}" for name in rollups.SUMS)
_DIFFER = " OR ".join(f"SUM({name}) <> 0" for name in rollups.SUMS)
# Both sides as one: where they are the same, every sum of the two is zero.
_COMPARE = f"""SELECT {{group}}, {_SUMS} FROM (
    SELECT {{group}}, {_SUMS} FROM usage_hourlyrollup WHERE hour >= %s AND hour < %s {{owners}} GROUP BY {{group}}
    UNION ALL SELECT {{group}}, {_NEGATED} FROM usage_dailyrollup WHERE level = %s AND day = %s {{owners}}
) AS both_sides GROUP BY {{group}} HAVING {_DIFFER}"""  # noqa: S608
_OWNERS = """AND tenant_id IN (SELECT owner FROM usage_calendar WHERE timezone = %s)
    AND tenant_id NOT IN (SELECT owner FROM usage_staleday WHERE day = %s)"""
_STALE = "SELECT 1 FROM usage_staleday WHERE owner = %s AND day = %s"


def check(scope: Scope, progress: Progress) -> Finding:
    """Every day that need not be made again, all columns of all groups, of every level."""
    finding = Finding("days", "A day's rollup is the sum of its hours', in every column.")
    zones = sorted(set(Calendar.objects.exclude(owner=rollups.OF_ALL).values_list("timezone", flat=True)))
    for zone in zones:
        for day in _days(scope, zone):
            progress(f"days of {zone}: {day:%Y-%m-%d}")
            for level in days.OF_A_TENANT:
                _compare(finding, scope, day, zone, level, _OWNERS, [zone, day])
    if Calendar.objects.filter(owner=rollups.OF_ALL).exists():
        for day in _days(scope, "UTC"):
            if not rows(_STALE, [rollups.OF_ALL, day]):
                for level in days.OF_ALL:
                    _compare(finding, scope, day, "UTC", level, "", [])
    return finding


def _compare(
    finding: Finding, scope: Scope, day: date, zone: str, level: Level, owners: str, whose: list[object]
) -> None:
    if scope.tenant_id is not None:
        owners, whose = f"{owners} AND tenant_id = %s", [*whose, scope.tenant_id]
    group = days.LEVELS[level]
    query = _COMPARE.format(group=", ".join(group), owners=owners)
    span = [rollups.parameter(moment) for moment in days.bounds(day, zone)]
    finding.count(1)
    for row in rows(query, [*span, *whose, level.value, day, *whose]):
        subject = ", ".join(f"{name} {value}" for name, value in zip(group, row, strict=False) if value)
        off = {name: int(by) for name, by in zip(rollups.SUMS, row[len(group) :], strict=True) if by}
        found = ", ".join(f"{name} {-by:+d}" for name, by in off.items())
        finding.accuse(f"{day:%Y-%m-%d} {zone}, {level.name}: {subject}", expected="its hours'", found=found)


def _days(scope: Scope, zone: str) -> Iterator[date]:
    """From the first with an hour to the last."""
    hours = HourlyRollup.objects.all()
    if scope.since is not None:
        hours = hours.filter(hour__gte=scope.since)
    ends = hours.aggregate(first=Min("hour"), last=Max("hour"))
    if ends["first"] is None:
        return
    first, last = (_day(ends[name], zone) for name in ("first", "last"))
    while first <= last:
        yield first
        first += days.DAY


def _day(moment: datetime, zone: str) -> date:
    return calendar.day_of(moment.astimezone(UTC), ZoneInfo(zone))
