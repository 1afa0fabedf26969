"""Where the sums of a span of time lie, and how they are asked for there.

Whole days that are over come from the daily rollups, unless an hour of theirs has changed since; other hours from the
hourly ones; and those that may lack something still from the ledger itself, along an index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from django.db import connection

from apps.domain import days as calendar
from apps.usage import days, rollups, selectors
from apps.usage.models import Calendar, Entry, StaleDay

# No further back is the ledger itself read: where nobody has summed it up for longer, reports say how old they are.
LIVE = timedelta(days=2)
DIMENSIONS = {
    "tenant": "tenant_id",
    "project": "project_id",
    "user": "user_id",
    "key": "key_id",
    "model": "model_id",
    "provider": "provider_id",
    "endpoint": "endpoint",
    "pinned": "pinned_id",
}
_ROLLED_UP = {name: f"SUM({name})" for name in rollups.SUMS}


class Amounts(NamedTuple):
    """What entries come to: the columns of `summed.Sums`, in the order of `rollups.SUMS`. Money in nano-USD."""

    calls: int = 0
    errors: int = 0
    unconfirmed: int = 0
    unpriced: int = 0
    in_fresh: int = 0
    in_cache_read: int = 0
    in_cache_write_5m: int = 0
    in_cache_write_1h: int = 0
    out_total: int = 0
    out_reasoning: int = 0
    cost_nano: int = 0
    low_nano: int = 0
    high_nano: int = 0
    latency_ms: int = 0
    hits: int = 0
    saved_nano: int = 0
    saved_tokens: int = 0
    estimated: int = 0

    @property
    def in_cache_write(self) -> int:
        return self.in_cache_write_5m + self.in_cache_write_1h

    @property
    def tokens(self) -> int:
        return self.in_fresh + self.in_cache_read + self.in_cache_write + self.out_total

    @property
    def cost_per_1000_calls(self) -> int | None:
        return self.cost_nano * 1000 // self.calls if self.calls else None

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(*map(sum, zip(self, other, strict=True)))

    def minus(self, other: Amounts) -> Amounts:
        return Amounts(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


class Scope(msgspec.Struct, frozen=True):
    """Whose usage: of a tenant, or of one of its users alone; without a tenant, of all, for operators, in UTC."""

    tenant_id: int | None
    zone: str = "UTC"
    user_id: int | None = None

    @property
    def owner(self) -> int:
        return rollups.OF_ALL if self.tenant_id is None else self.tenant_id


class Question(msgspec.Struct, frozen=True):
    """`where`: dimensions with the one value that counts, None for what has none."""

    scope: Scope
    where: tuple[tuple[str, Any], ...] = ()

    def conditions(self) -> list[tuple[str, Any]]:
        whose = [("tenant_id", self.scope.tenant_id), ("user_id", self.scope.user_id)]
        return [(name, value) for name, value in whose if value is not None] + [
            (DIMENSIONS[name], value) for name, value in self.where
        ]


class Standing(msgspec.Struct, frozen=True):
    """How far the sums have come. `has_days`: they are of this time zone's days, but for the `stale` ones; `border`:
    the first hour that is read from the ledger; `as_of`: all that came until then is counted."""

    has_days: bool
    stale: frozenset[date]
    border: datetime
    as_of: datetime


class Source(msgspec.Struct, frozen=True):
    """Part of a question's answer. `moment` is what rows are told apart in time by, in SQL; `moments` what its numbers
    stand for, where it gives numbers."""

    table: str
    condition: str
    parameters: tuple[Any, ...]
    sums: Mapping[str, str]
    moment: str
    moment_parameters: tuple[Any, ...] = ()
    moments: tuple[datetime, ...] = ()

    def moment_of(self, found: str) -> datetime | date:
        """Of the moment as text. Connections speak UTC."""
        if self.moments:
            return self.moments[int(found)]
        if self.moment == "day":
            return date.fromisoformat(found)
        return datetime.fromisoformat(found).replace(tzinfo=UTC)


def standing(scope: Scope, now: datetime) -> Standing:
    """Three queries; one more where nothing was summed up for long, which may be as nobody has called."""
    zone = Calendar.objects.filter(owner=scope.owner).values_list("timezone", flat=True).order_by().first()
    stale = StaleDay.objects.filter(owner=scope.owner).values_list("day", flat=True)
    mark = selectors.rolled_up_to()
    rolled = selectors.lacking_since(mark, rollups.hour_of(now))
    border = max(rolled, rollups.hour_of(now - LIVE))
    is_behind = mark is not None and border != rolled and Entry.objects.filter(settled_at__gt=mark).exists()
    return Standing(zone == scope.zone, frozenset(stale), border, mark if is_behind and mark is not None else now)


def sources(
    question: Question,
    dimension: str | None,
    starts: datetime,
    ends: datetime,
    standing: Standing,
    *,
    by_hour: bool = False,
) -> list[Source]:
    """Where the answer for a span of time lies, told apart by the dimension, and by no less than hours if so wanted."""
    conditions = question.conditions()
    columns = {name for name, _ in conditions} | ({DIMENSIONS[dimension]} if dimension is not None else set())
    level = _level(question.scope, columns)
    whole, hours = _divided(question.scope.zone, starts, ends, standing, has_days=level is not None and not by_hour)
    found = []
    if whole:
        spans = [(_day(first), _day(last)) for first, last in whole]
        among = f"level = %s AND ({_any('day BETWEEN %s AND %s', spans)})"
        found.append(_source("usage_dailyrollup", "day", among, [level, *_flat(spans)], conditions))
    if hours:
        moments = [(rollups.parameter(first), rollups.parameter(after)) for first, after in hours]
        among = f"({_any('hour >= %s AND hour < %s', moments)})"
        found.append(_source("usage_hourlyrollup", "hour", among, _flat(moments), conditions))
    if (live := max(starts, standing.border)) < ends:
        found.append(_live(live, ends, question.scope.zone, conditions))
    return found


def _level(scope: Scope, columns: set[str]) -> int | None:
    """The coarsest that tells the columns apart."""
    levels = days.OF_ALL if scope.tenant_id is None else days.OF_A_TENANT
    fitting = [level for level in levels if columns <= set(days.LEVELS[level])]
    return min(fitting, key=lambda level: len(days.LEVELS[level])).value if fitting else None


def _divided(
    zone: str, starts: datetime, ends: datetime, standing: Standing, *, has_days: bool
) -> tuple[list[tuple[date, date]], list[tuple[datetime, datetime]]]:
    """What is summed up of a span: whole days, first and last, and hours, from one moment to another."""
    place = ZoneInfo(zone)
    whole: list[tuple[date, date]] = []
    hours: list[tuple[datetime, datetime]] = []
    at, end = starts, min(ends, standing.border)
    while at < end:
        day = calendar.day_of(at, place)
        begins, after = days.bounds(day, zone)
        if has_days and standing.has_days and begins == at and after <= end and day not in standing.stale:
            joins = bool(whole) and whole[-1][1] == day - days.DAY
            whole[-1:] = [(whole[-1][0], day)] if joins else [*whole[-1:], (day, day)]
        else:
            joins = bool(hours) and hours[-1][1] == at
            piece = (at, min(after, end))
            hours[-1:] = [(hours[-1][0], piece[1])] if joins else [*hours[-1:], piece]
        at = after
    return whole, hours


def _source(
    table: str, moment: str, among: str, parameters: Sequence[Any], conditions: list[tuple[str, Any]]
) -> Source:
    condition, values = _conditions(conditions)
    return Source(table, f"{among}{condition}", (*parameters, *values), _ROLLED_UP, moment)


def _live(starts: datetime, ends: datetime, zone: str, conditions: list[tuple[str, Any]]) -> Source:
    """The ledger's rows, told apart by the hours and days in which their requests arrived, as rollups are."""
    moments = [starts, *_borders(starts, ends, zone)]
    cases = " ".join(f"WHEN id >= %s THEN {number}" for number in reversed(range(1, len(moments))))
    condition, values = _conditions(conditions)
    return Source(
        "usage_entry",
        f"id >= %s AND id < %s{condition}",
        (rollups.floor_of(starts), rollups.floor_of(ends), *values),
        rollups.SUMS,
        f"CASE {cases} ELSE 0 END" if cases else "0",
        tuple(rollups.floor_of(moment) for moment in reversed(moments[1:])),
        tuple(moments),
    )


def _borders(starts: datetime, ends: datetime, zone: str) -> list[datetime]:
    """Of hours and days, after the first moment."""
    found = set()
    hour = rollups.hour_of(starts)
    while hour < ends:
        found |= {hour, days.bounds(calendar.day_of(hour, ZoneInfo(zone)), zone)[1]}
        hour += rollups.HOUR
    return sorted(moment for moment in found if starts < moment < ends)


def _conditions(conditions: list[tuple[str, Any]]) -> tuple[str, list[Any]]:
    parts = [f" AND {column} IS NULL" if value is None else f" AND {column} = %s" for column, value in conditions]
    return "".join(parts), [value for _, value in conditions if value is not None]


def _any(condition: str, of: Sequence[Any]) -> str:
    return " OR ".join([condition] * len(of))


def _flat(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    return [moment for pair in pairs for moment in pair]


def _day(day: date) -> Any:
    return connection.ops.adapt_datefield_value(day)


def ask(query: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Constants and placeholders only."""
    with connection.cursor() as cursor:
        cursor.execute(query, list(parameters))
        yield from cursor.fetchall()
