"""Hourly sums of the ledger. An hour is computed again as a whole whenever something was added to it; doing so twice,
or half, or after a crash, changes nothing: the rollup always equals the ledger it was made from.

An entry belongs to the hour in which its request arrived, which its id tells. Where a day of its tenant's begins within
that hour, the hour has two parts, so that days are made of hours without a remainder: see `days`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Max, Min
from django.db.models.functions import TruncHour

from apps.domain import days as calendar
from apps.domain import ids
from apps.runtime.failpoints import failpoint
from apps.tenants.models import Tenant
from apps.usage.models import NOT_ERRORS, Calendar, Entry, HourlyRollup, Kind, Source, StaleDay, Watermark

NAME = "rollups"
STRIDE = timedelta(days=1)
HOUR = timedelta(hours=1)
# A transaction may become visible this much later than the time on its rows.
OVERLAP = timedelta(minutes=10)

# How many hours that know of no endpoints are computed again at a time.
UNTOLD_HOURS = 200
OF_ALL = 0  # the owner of the calendar of all tenants

GROUP = ("tenant_id", "project_id", "user_id", "key_id", "model_id", "provider_id", "endpoint", "pinned_id")
COUNTERS = (
    "in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total", "out_reasoning",
    "cost_nano", "low_nano", "high_nano",
)  # fmt: skip
# What repricings say of attempts that had no price at all.
UNPRICED = "unpriced"
_IS_CALL = f"kind < {Kind.CORRECTION.value}"
_IS_ERROR = "status NOT IN ({})".format(", ".join(f"'{status.value}'" for status in NOT_ERRORS))
_HAS_TOKENS = "in_fresh + in_cache_read + in_cache_write_5m + in_cache_write_1h + out_total > 0"
_IS_COUNTED = (
    f"(kind = {Kind.POST.value} AND {_HAS_TOKENS}"
    f" OR kind = {Kind.CORRECTION.value} AND usage_source <> '{Source.NONE.value}')"
)

# What is unconfirmed is counted as that; once it is corrected, its correction says where the counters are from.
_IS_ESTIMATED = f"kind IN ({Kind.POST.value}, {Kind.CORRECTION.value}) AND usage_source = '{Source.ESTIMATED.value}'"


def _count(condition: str, *, less: str = "FALSE") -> str:
    return f"SUM(CASE WHEN {condition} THEN 1 WHEN {less} THEN -1 ELSE 0 END)"


# An attempt is a call once, with the outcome and the latency of its first entry; what follows only moves amounts.
SUMS = {
    "calls": _count(_IS_CALL),
    "errors": _count(f"{_IS_CALL} AND {_IS_ERROR}"),
    "unconfirmed": _count(f"kind = {Kind.UNCONFIRMED.value}", less=f"kind = {Kind.CORRECTION.value}"),
    "unpriced": _count(
        f"price_version IS NULL AND {_IS_COUNTED}", less=f"kind = {Kind.REPRICE.value} AND error_code = '{UNPRICED}'"
    ),
    **{name: f"SUM({name})" for name in COUNTERS},
    "latency_ms": f"SUM(CASE WHEN {_IS_CALL} THEN latency_ms ELSE 0 END)",
    "hits": _count("cached IS NOT NULL"),
    **{name: f"SUM(COALESCE({name}, 0))" for name in ("saved_nano", "saved_tokens")},
    "estimated": _count(_IS_ESTIMATED),
}
_ROLL_UP = """
INSERT INTO usage_hourlyrollup (hour, {group}, {names})
SELECT {{begins}}, {group}, {sums} FROM usage_entry WHERE id >= %s AND id < %s GROUP BY 1, {group}
ON CONFLICT (hour, tenant_id, project_id, COALESCE(user_id, 0), COALESCE(key_id, 0), COALESCE(model_id, 0),
    COALESCE(provider_id, 0), COALESCE(endpoint, ''), COALESCE(pinned_id, 0), COALESCE(seal_id, 0))
DO UPDATE SET {updates} WHERE ({mine}) <> ({theirs}) RETURNING tenant_id
""".format(
    group=", ".join(GROUP),
    names=", ".join(SUMS),
    sums=", ".join(SUMS.values()),
    updates=", ".join(f"{name} = excluded.{name}" for name in SUMS),
    mine=", ".join(f"usage_hourlyrollup.{name}" for name in SUMS),
    theirs=", ".join(f"excluded.{name}" for name in SUMS),
)
# Of tenants whose days do not begin within this hour, or no longer; and from before endpoints were told apart.
_FORGET = """DELETE FROM usage_hourlyrollup WHERE hour >= %s AND hour < %s AND seal_id IS NULL
    AND (endpoint IS NULL OR hour > %s {split})"""
_OF_ZONES = "tenant_id IN (SELECT id FROM tenants_tenant WHERE timezone IN ({zones}))"


def roll_up() -> int:
    """Brings the rollups up to the ledger. Returns how many hours were computed.

    A long way behind it goes by strides, so that a run that is killed has not been for nothing.
    """
    mark, _ = Watermark.objects.get_or_create(name=NAME)
    ends = Entry.objects.aggregate(oldest=Min("settled_at"), newest=Max("settled_at"))
    since, newest = mark.at or ends["oldest"], ends["newest"]
    count = 0
    while newest is not None:
        until = min(since + STRIDE, newest)
        # SQLite compares text, in which a whole second with its zeros comes after the same one without.
        fresh = Entry.objects.filter(settled_at__gte=since - OVERLAP, settled_at__lt=until + timedelta(milliseconds=1))
        count += _roll_up(fresh)
        failpoint("rollup.before_mark")
        Watermark.objects.filter(name=NAME).update(at=until)
        if until == newest:
            break
        since = until
    return count + _tell_endpoints()


def lag() -> float:
    """Seconds by which the newest entry is ahead of what is rolled up. Two queries."""
    mark = Watermark.objects.filter(name=NAME).values_list("at", flat=True).first()
    ends = Entry.objects.aggregate(oldest=Min("settled_at"), newest=Max("settled_at"))
    if ends["newest"] is None:
        return 0.0
    return max(0.0, (ends["newest"] - (mark or ends["oldest"])).total_seconds())


def _roll_up(fresh: Any) -> int:
    hours = hours_of(fresh)
    for hour in hours:
        compute(hour)
        failpoint("rollup.between_hours")
    return len(hours)


def compute(hour: datetime) -> None:
    """One hour, whole. Two workers at it wait for one another."""
    begun = parameter(hour)
    with transaction.atomic(), connection.cursor() as cursor:
        alone()
        begins, cuts, split, zones = _parts(hour)
        cursor.execute(_FORGET.format(split=split), [begun, parameter(hour + HOUR), begun, *zones])
        cursor.execute(_ROLL_UP.format(begins=begins), [*cuts, begun, *bounds(hour)])
        if changed := {tenant for (tenant,) in cursor.fetchall()}:
            _outdate(hour, changed)
        failpoint("rollup.before_commit")


def alone() -> None:
    """Until the transaction ends, nobody else changes rollups."""
    Watermark.objects.select_for_update().get_or_create(name=NAME)


def _parts(hour: datetime) -> tuple[str, list[Any], str, list[str]]:
    """In SQL: when the part of the hour begins that a row belongs to, less its last parameter, which is the hour; and
    whose hour has parts, as another condition of `_FORGET`. Both with their parameters."""
    midnights: dict[datetime, list[str]] = {}
    for zone in Tenant.objects.order_by().values_list("timezone", flat=True).distinct():
        if hour < (midnight := _last_midnight(hour, zone)):
            midnights.setdefault(midnight, []).append(zone)
    cases, cuts, all_zones = [], [], []
    for midnight, zones in midnights.items():
        condition = _OF_ZONES.format(zones=", ".join(["%s"] * len(zones)))
        cases.append(f"WHEN {condition} AND id >= %s THEN {_MOMENT[connection.vendor]}")
        cuts += [*zones, floor_of(midnight), parameter(midnight)]
        all_zones += zones
    if not cases:
        return _MOMENT[connection.vendor], cuts, "", all_zones
    split = _OF_ZONES.format(zones=", ".join(["%s"] * len(all_zones)))
    return f"CASE {' '.join(cases)} ELSE {_MOMENT[connection.vendor]} END", cuts, f"OR {split}", all_zones


_MOMENT = {"postgresql": "CAST(%s AS timestamptz)", "sqlite": "%s"}


def _last_midnight(hour: datetime, zone: str) -> datetime:
    """The last one before the hour's end."""
    place = ZoneInfo(zone)
    return calendar.begins(calendar.day_of(hour + HOUR - timedelta(seconds=1), place), place)


def _outdate(hour: datetime, tenants: Collection[int]) -> None:
    """Whose days, of which the hour is a part, are not what they were."""
    calendars = Calendar.objects.filter(owner__in=[*tenants, OF_ALL]).values_list("owner", "timezone")
    days = {(owner, day) for owner, zone in calendars for day in _days_of(hour, zone)}
    StaleDay.objects.bulk_create((StaleDay(owner=owner, day=day) for owner, day in sorted(days)), ignore_conflicts=True)


def _days_of(hour: datetime, zone: str) -> set[date]:
    place = ZoneInfo(zone)
    return {calendar.day_of(moment, place) for moment in (hour, hour + HOUR - timedelta(seconds=1))}


def _tell_endpoints() -> int:
    """Hours that were summed up before endpoints were told apart, the newest first. Returns how many were computed."""
    untold = HourlyRollup.objects.filter(endpoint=None, seal=None).order_by("-hour").values_list("hour", flat=True)
    hours = list(untold.distinct()[:UNTOLD_HOURS])
    for hour in hours:
        compute(hour_of(hour))
    return len(hours)


def bounds(hour: datetime) -> list[Any]:
    """Of the hour's ids, as query parameters."""
    return [floor_of(hour), floor_of(hour + HOUR)]


def floor_of(moment: datetime) -> Any:
    """The first id of requests that arrive then, as a query parameter."""
    floor = ids.floor(int(moment.timestamp() * 1000))
    return floor if connection.vendor == "postgresql" else floor.hex


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_of(fresh: Any) -> list[datetime]:
    """Where the entries may belong: a late attempt can begin in the hour after its request's."""
    begun = (
        fresh.order_by().annotate(hour=TruncHour("started_at", tzinfo=UTC)).values_list("hour", flat=True).distinct()
    )
    return sorted({hour - back for hour in begun for back in (timedelta(0), HOUR)})


def parameter(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
