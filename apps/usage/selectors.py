"""What has been used and spent, for pages. Closed hours come from the rollups, the newest from the ledger itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count, Q, Sum

from apps.domain import ids
from apps.usage import rollups
from apps.usage.models import Entry, HourlyRollup, Kind, Watermark

_TOTALS = ("calls", "errors", "unconfirmed", "unpriced", "cost_nano", "low_nano", "high_nano")


class Totals(NamedTuple):
    """Money in nano-USD; the true cost lies between `low` and `high`."""

    calls: int = 0
    errors: int = 0
    unconfirmed: int = 0
    unpriced: int = 0
    cost: int = 0
    low: int = 0
    high: int = 0


class Hour(NamedTuple):
    starts: datetime
    totals: Totals


class Overview(NamedTuple):
    """Since midnight UTC, and hour by hour, oldest first, without gaps."""

    today: Totals
    hours: list[Hour]


def overview(now: datetime, *, hours: int = 24) -> Overview:
    """At most one query for every hour that is not rolled up yet, and two more."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = rollups.hour_of(now)
    first = min(midnight, last - (hours - 1) * rollups.HOUR)
    found = by_hour(first, last)
    return Overview(add([hour.totals for hour in found if hour.starts >= midnight]), found[-hours:])


def by_hour(first: datetime, last: datetime) -> list[Hour]:
    """Every hour from `first` to `last`, both begun on the hour."""
    border = min(max(_rolled_up_before(last), first), last)
    closed = (
        HourlyRollup.objects.filter(hour__gte=first, hour__lt=border)
        .order_by()
        .values_list("hour")
        .annotate(*(Sum(name) for name in _TOTALS))
    )
    totals = {hour: Totals(*sums) for hour, *sums in closed}
    while border <= last:
        totals[border] = _live(border)
        border += rollups.HOUR
    count = (last - first) // rollups.HOUR + 1
    return [Hour(hour, totals.get(hour, Totals())) for hour in (first + i * rollups.HOUR for i in range(count))]


def add(parts: list[Totals]) -> Totals:
    return Totals(*(sum(column) for column in zip(*parts, strict=True))) if parts else Totals()


def spent(now: datetime, *, days: int, **subject: int) -> Totals:
    """Calls and costs of the last `days`, this moment included. `subject`: `tenant_id`, and `project_id` or `key_id`.

    At most three queries, along the indexes of the subject.
    """
    last = rollups.hour_of(now)
    first = last - timedelta(days=days)
    border = max(_rolled_up_before(last), first)
    sums = {name: Sum(name) for name in ("cost_nano", "low_nano", "high_nano")}
    closed = HourlyRollup.objects.filter(hour__gte=first, hour__lt=border, **subject)
    live = Entry.objects.filter(id__gte=ids.floor(int(border.timestamp() * 1000)), **subject)
    parts = (
        closed.aggregate(calls=Sum("calls"), **sums),
        live.aggregate(calls=Count("pk", filter=Q(kind__lt=Kind.CORRECTION)), **sums),
    )
    return add(
        [
            Totals(
                calls=part["calls"] or 0,
                cost=part["cost_nano"] or 0,
                low=part["low_nano"] or 0,
                high=part["high_nano"] or 0,
            )
            for part in parts
        ]
    )


def latest(count: int) -> list[Entry]:
    """The newest entries with their tenants; one query, by the primary key."""
    return list(Entry.objects.select_related("tenant").order_by("-id")[:count])


def _rolled_up_before(last: datetime) -> datetime:
    """The first hour whose rollup may lack something."""
    mark = Watermark.objects.filter(name=rollups.NAME).values_list("at", flat=True).first()
    if mark is None:
        return datetime.min.replace(tzinfo=UTC)
    return min(rollups.hour_of(mark - rollups.OVERLAP), last - timedelta(hours=1))


def _live(hour: datetime) -> Totals:
    sums = ", ".join(f"COALESCE({rollups.SUMS[name]}, 0)" for name in _TOTALS)
    # Constants and placeholders only.
    query = f"SELECT {sums} FROM usage_entry WHERE id >= %s AND id < %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, rollups.bounds(hour))
        row: tuple[Any, ...] = cursor.fetchone()
    return Totals(*(int(value) for value in row))
