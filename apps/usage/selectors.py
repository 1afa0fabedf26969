"""What has been used and spent, for pages. Closed hours come from the rollups, the newest from the ledger itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, Func, OuterRef, Q, QuerySet, Sum, UUIDField

from apps.domain import ids
from apps.usage import rollups
from apps.usage.models import Entry, HourlyRollup, Kind, State, Watermark

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


class Doubt(NamedTuple):
    """What a tenant's unconfirmed attempts may have cost, in nano-USD."""

    tenant_id: int
    count: int
    low: int
    estimate: int
    high: int


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
    border = min(max(rolled_up_before(last), first), last)
    closed = (
        HourlyRollup.objects.filter(hour__gte=first, hour__lt=border)
        .order_by()
        .values_list("hour")
        .annotate(*(Sum(name) for name in _TOTALS))
    )
    totals: dict[datetime, Totals] = {}
    for begins, *sums in closed:  # an hour may have parts
        hour = rollups.hour_of(begins)
        totals[hour] = add([totals.get(hour, Totals()), Totals(*sums)])
    while border <= last:
        totals[border] = _live(border)
        border += rollups.HOUR
    count = (last - first) // rollups.HOUR + 1
    return [Hour(hour, totals.get(hour, Totals())) for hour in (first + i * rollups.HOUR for i in range(count))]


def add(parts: list[Totals]) -> Totals:
    return Totals(*(sum(column) for column in zip(*parts, strict=True))) if parts else Totals()


def spent(now: datetime, *, days: int, **subject: int) -> Totals:
    """Calls and costs of the last `days`, this moment included. `subject`: `tenant_id`, and `project_id`, `user_id` or
    `key_id`; or `pinned_id`.

    At most three queries, along the indexes of the subject.
    """
    last = rollups.hour_of(now)
    first = last - timedelta(days=days)
    border = max(rolled_up_before(last), first)
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


def spent_by_key(now: datetime, *, days: int, keys: Iterable[int]) -> dict[int, int]:
    """Nano-USD of the last `days` by key, as far as it is rolled up; no entry: nothing. One query."""
    return spent_by("key_id", now, days=days, key_id__in=list(keys))


def spent_by(column: str, now: datetime, *, days: int, **whose: Any) -> dict[int, int]:
    """As `spent_by_key`, by any column of the rollups. `whose`: conditions that one of their indexes serves."""
    rows = HourlyRollup.objects.filter(hour__gte=now - timedelta(days=days), **whose)
    return dict(rows.order_by().values_list(column).annotate(Sum("cost_nano")))


def unconfirmed(**subject: int) -> QuerySet[Entry]:
    """The attempts whose cost nobody knows yet, oldest first; page by `pk`. `subject` as in `spent`.

    Along the partial index of unconfirmed entries, with a look at the primary key for the correction of each.
    """
    return Entry.objects.filter(is_open(), kind=Kind.UNCONFIRMED, **subject).order_by("pk")


def is_corrected() -> Exists:
    """The condition that an entry's attempt has a correction."""
    return Exists(Entry.objects.filter(pk=_Sibling(ids.Slot.RESOLUTION), kind=Kind.CORRECTION))


def is_open() -> Q:
    """The condition that an entry is an unconfirmed one that nothing has corrected."""
    return Q(~is_corrected(), state=State.UNCONFIRMED)


def is_unpriced() -> Q:
    """The condition that an entry's tokens had no price, nor were given one since."""
    repriced = Entry.objects.filter(pk=_Sibling(ids.Slot.REPRICE), kind=Kind.REPRICE)
    return Q(Q(in_fresh__gt=0) | Q(out_total__gt=0), ~Exists(repriced), price_version=None)


def unconfirmed_of(request: UUID) -> list[Entry]:
    """Of one request, resolved or not."""
    entries = Entry.objects.filter(id__range=ids.entries_of(request), request_id=request, kind=Kind.UNCONFIRMED)
    return list(entries.order_by("pk"))


def doubts(**subject: int) -> list[Doubt]:
    """The totals of `unconfirmed`, by tenant."""
    sums = (Count("pk"), Sum("low_nano"), Sum("cost_nano"), Sum("high_nano"))
    rows = unconfirmed(**subject).order_by("tenant_id").values_list("tenant_id").annotate(*sums)
    return [Doubt(*row) for row in rows]


def latest(count: int, **subject: int) -> list[Entry]:
    """The newest attempts with their tenants, `subject` as in `spent`; one query, along an index."""
    firsts = Entry.objects.filter(kind__lt=Kind.CORRECTION, **subject)
    return list(firsts.select_related("tenant").order_by("-id")[:count])


def rolled_up_before(last: datetime) -> datetime:
    """The first hour whose rollup may lack something. One query."""
    return lacking_since(rolled_up_to(), last)


def rolled_up_to() -> datetime | None:
    """Until when the ledger has been summed up; None: never. One query."""
    return Watermark.objects.filter(name=rollups.NAME).values_list("at", flat=True).first()


def lacking_since(mark: datetime | None, last: datetime) -> datetime:
    """See `rolled_up_before`."""
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


class _Sibling(Func):
    """The id in another slot of the attempt of the entry outside: the sixteenth hexadecimal digit."""

    output_field = UUIDField()

    def __init__(self, slot: int) -> None:
        super().__init__(OuterRef("pk"))
        self.extra["digit"] = f"{slot:x}"

    def as_postgresql(self, *arguments: Any, **options: Any) -> Any:
        return self.as_sql(
            *arguments, template="overlay(%(expressions)s::text placing '%(digit)s' from 18)::uuid", **options
        )

    def as_sqlite(self, *arguments: Any, **options: Any) -> Any:
        template = "substr(%(expressions)s, 1, 15) || '%(digit)s' || substr(%(expressions)s, 17)"
        return self.as_sql(*arguments, template=f"({template})", **options)
