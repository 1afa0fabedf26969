"""Hourly sums of the ledger. An hour is computed again as a whole whenever something was added to it; doing so twice,
or half, or after a crash, changes nothing: the rollup always equals the ledger it was made from.

An entry belongs to the hour in which its request arrived, which its id tells.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min
from django.db.models.functions import TruncHour

from apps.domain import ids
from apps.runtime.failpoints import failpoint
from apps.usage.models import NOT_ERRORS, Entry, Kind, Source, Watermark

NAME = "rollups"
STRIDE = timedelta(days=1)
HOUR = timedelta(hours=1)
# A transaction may become visible this much later than the time on its rows.
OVERLAP = timedelta(minutes=10)

GROUP = ("tenant_id", "project_id", "user_id", "key_id", "model_id", "provider_id", "pinned_id")
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
}
_ROLL_UP = """
INSERT INTO usage_hourlyrollup (hour, {group}, {names})
SELECT %s, {group}, {sums} FROM usage_entry WHERE id >= %s AND id < %s GROUP BY {group}
ON CONFLICT (hour, tenant_id, project_id, COALESCE(user_id, 0), COALESCE(key_id, 0), COALESCE(model_id, 0),
    COALESCE(provider_id, 0), COALESCE(pinned_id, 0), COALESCE(seal_id, 0))
DO UPDATE SET {updates}
""".format(
    group=", ".join(GROUP),
    names=", ".join(SUMS),
    sums=", ".join(SUMS.values()),
    updates=", ".join(f"{name} = excluded.{name}" for name in SUMS),
)


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
    return count


def _roll_up(fresh: Any) -> int:
    hours = hours_of(fresh)
    for hour in hours:
        compute(hour)
        failpoint("rollup.between_hours")
    return len(hours)


def compute(hour: datetime) -> None:
    """One hour, whole. Two workers at it wait for one another."""
    with transaction.atomic(), connection.cursor() as cursor:
        Watermark.objects.select_for_update().get(name=NAME)
        cursor.execute(_ROLL_UP, [_parameter(hour), *bounds(hour)])
        failpoint("rollup.before_commit")


def bounds(hour: datetime) -> list[Any]:
    """Of the hour's ids, as query parameters."""
    borders = (int(moment.timestamp()) * 1000 for moment in (hour, hour + HOUR))
    floors = [ids.floor(border) for border in borders]
    return list(floors) if connection.vendor == "postgresql" else [floor.hex for floor in floors]


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_of(fresh: Any) -> list[datetime]:
    """Where the entries may belong: a late attempt can begin in the hour after its request's."""
    begun = (
        fresh.order_by().annotate(hour=TruncHour("started_at", tzinfo=UTC)).values_list("hour", flat=True).distinct()
    )
    return sorted({hour - back for hour in begun for back in (timedelta(0), HOUR)})


def _parameter(hour: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(hour)
