"""Daily sums, made of the hourly ones: of each tenant's days in its own time zone, and of UTC's days over all tenants.

A day is rolled up once it is over, and again whenever one of its hours has changed: `rollups` notes that in the
transaction that changes the hour, and the note goes in the transaction that makes the day again. So whatever happens in
between, a day without a note equals its hours. Hours that are sealed stay as they are, and so do their days.

Where a tenant's time zone was changed, all its days are made again; until then nobody reads them. An hour that is
sealed belongs whole to the day in which it began, should a midnight of the new zone fall into it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Max, Min

from apps.domain import days as calendar
from apps.runtime.failpoints import failpoint
from apps.tenants.models import Tenant
from apps.usage import rollups
from apps.usage.models import Calendar, DailyRollup, HourlyRollup, Level, StaleDay

DAY = timedelta(days=1)
# Owners whose day is made in one transaction.
BATCH = 100
LEVELS: dict[Level, tuple[str, ...]] = {
    Level.FULL: rollups.GROUP,
    Level.NARROW: ("tenant_id", "project_id", "model_id", "provider_id", "endpoint", "pinned_id"),
    Level.WORLD: ("tenant_id", "model_id", "provider_id", "endpoint"),
    Level.TENANTS: ("tenant_id",),
}
OF_A_TENANT = (Level.FULL, Level.NARROW)
OF_ALL = (Level.WORLD, Level.TENANTS)

Bounds = tuple[datetime, datetime]


def roll_up(now: datetime) -> int:
    """Makes the days that are over and have changed. Returns how many, counting each tenant's."""
    _adopt_zones()
    count = 0
    for (day, zone, is_of_all), owners in _due(now).items():
        for start in range(0, len(owners), BATCH):
            _compute(day, zone, owners[start : start + BATCH], levels=OF_ALL if is_of_all else OF_A_TENANT)
            count += len(owners[start : start + BATCH])
            failpoint("rollup.between_days")
    return count


def bounds(day: date, zone: str) -> Bounds:
    """When it begins, and when the next one does."""
    place = ZoneInfo(zone)
    return calendar.begins(day, place), calendar.begins(day + DAY, place)


def _due(now: datetime) -> dict[tuple[date, str, bool], list[int]]:
    """Owners, by day, time zone, and whether that is the day of all tenants."""
    zones = dict(Calendar.objects.values_list("owner", "timezone"))
    found: dict[tuple[date, str, bool], list[int]] = defaultdict(list)
    for owner, day in (
        StaleDay.objects.filter(day__lte=now.date() + DAY).order_by("day", "owner").values_list("owner", "day")
    ):
        zone = zones.get(owner)
        if zone is not None and bounds(day, zone)[1] + rollups.OVERLAP <= now:
            found[day, zone, owner == rollups.OF_ALL].append(owner)
    return found


@transaction.atomic
def _compute(day: date, zone: str, owners: Sequence[int], *, levels: Sequence[Level]) -> None:
    """One day of some owners, whole, unless their time zone has just been changed."""
    rollups.alone()
    owners = list(Calendar.objects.filter(owner__in=owners, timezone=zone).values_list("owner", flat=True))
    if not owners:
        return
    StaleDay.objects.filter(day=day, owner__in=owners).delete()
    tenants = [] if rollups.OF_ALL in owners else owners
    DailyRollup.objects.filter(level__in=levels, day=day, **({"tenant__in": tenants} if tenants else {})).delete()
    finest, *coarser = levels
    of_whom = f"AND tenant_id IN ({', '.join(['%s'] * len(tenants))})" if tenants else ""
    with connection.cursor() as cursor:
        hours = [rollups.parameter(moment) for moment in bounds(day, zone)]
        source = f"usage_hourlyrollup WHERE hour >= %s AND hour < %s {of_whom}"
        cursor.execute(_insert(finest, source), [finest.value, day, *hours, *tenants])
        for level in coarser:
            source = f"usage_dailyrollup WHERE level = %s AND day = %s {of_whom}"
            cursor.execute(_insert(level, source), [level.value, day, finest.value, day, *tenants])
    failpoint("rollup.day_before_commit")


def _insert(level: Level, source: str) -> str:
    """Constants and placeholders only."""
    group = ", ".join(LEVELS[level])
    sums = ", ".join(f"SUM({name})" for name in rollups.SUMS)
    return f"""INSERT INTO usage_dailyrollup (level, day, {group}, {", ".join(rollups.SUMS)})
        SELECT CAST(%s AS smallint), {_DAY[connection.vendor]}, {group}, {sums} FROM {source} GROUP BY {group}"""  # noqa: S608


_DAY = {"postgresql": "CAST(%s AS date)", "sqlite": "%s"}


# --- time zones -----------------------------------------------------------------------------------------------------


def _adopt_zones() -> None:
    wanted = dict(Tenant.objects.order_by("pk").values_list("pk", "timezone")) | {rollups.OF_ALL: "UTC"}
    held = dict(Calendar.objects.values_list("owner", "timezone"))
    for owner, zone in wanted.items():
        if held.get(owner) != zone:
            _adopt(owner, zone)
            failpoint("rollup.zone_adopted")


@transaction.atomic
def _adopt(owner: int, zone: str) -> None:
    """Every day that has hours is to be made anew, of hours that are parted where the zone's days begin."""
    rollups.alone()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")  # years of a large tenant's days
    DailyRollup.objects.filter(**_own(owner)).delete()
    StaleDay.objects.filter(owner=owner).delete()
    Calendar.objects.update_or_create(owner=owner, defaults={"timezone": zone})
    days = _occupied(owner, zone)
    StaleDay.objects.bulk_create(StaleDay(owner=owner, day=day) for day in days)
    for hour in sorted({rollups.hour_of(begun) for day in days if (begun := bounds(day, zone)[0]).minute}):
        rollups.compute(hour)


def _own(owner: int) -> dict[str, Any]:
    return {"level__in": OF_ALL} if owner == rollups.OF_ALL else {"tenant": owner, "level__in": OF_A_TENANT}


def _occupied(owner: int, zone: str) -> list[date]:
    """Days from the first to the last with an hour: fewer questions than which of them have one."""
    hours = HourlyRollup.objects.filter(**({} if owner == rollups.OF_ALL else {"tenant": owner}))
    ends = hours.aggregate(first=Min("hour"), last=Max("hour"))
    if ends["first"] is None:
        return []
    place = ZoneInfo(zone)
    first, last = (calendar.day_of(ends[name].astimezone(UTC), place) for name in ("first", "last"))
    # With what was sealed before the zone's midnights parted hours, and what a part of an hour reaches into.
    return [first + count * DAY for count in range((last - first).days + 2)]
