"""What was used and spent, row by row, and sums of it by what people ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour

from apps.domain import ids
from apps.usage import selectors
from apps.usage.models import IS_ERROR, Entry, HourlyRollup, Kind, Refusal, SealedMonth, Unconfirmed, Verification

SUMS = (
    "calls", "errors", "unconfirmed", "unpriced", "in_fresh", "in_cache_read", "in_cache_write_5m",
    "in_cache_write_1h", "out_total", "out_reasoning", "cost_nano", "low_nano", "high_nano", "saved_nano",
)  # fmt: skip
GROUPS = {
    "tenant": "tenant_id",
    "project": "project_id",
    "user": "user_id",
    "key": "key_id",
    "model": "model_id",
    "provider": "provider_id",
    "endpoint": "pinned_id",
    "day": "day",
    "hour": "at",
}


def entries() -> QuerySet[Entry]:
    return Entry.objects.all()


def unconfirmed() -> QuerySet[Unconfirmed]:
    """Those that nothing has corrected."""
    return Unconfirmed.objects.filter(selectors.is_open(), kind=Kind.UNCONFIRMED)


def rollups() -> QuerySet[HourlyRollup]:
    return HourlyRollup.objects.all()


def refusals() -> QuerySet[Refusal]:
    return Refusal.objects.all()


def sealed_months() -> QuerySet[SealedMonth]:
    return SealedMonth.objects.all()


def verifications() -> QuerySet[Verification]:
    return Verification.objects.all()


def within(rows: QuerySet[Entry], *, since: datetime | None = None, until: datetime | None = None) -> QuerySet[Entry]:
    """By when their requests arrived, which their ids tell: along the primary key."""
    if since is not None:
        rows = rows.filter(id__gte=_floor(since))
    return rows if until is None else rows.filter(id__lt=_floor(until))


def of_request(rows: QuerySet[Entry], request: Any) -> QuerySet[Entry]:
    return rows.filter(id__range=ids.entries_of(request), request_id=request)


def failed(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    return rows.filter(IS_ERROR)


def not_failed(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    return rows.exclude(IS_ERROR)


def costs(
    rows: QuerySet[HourlyRollup], *, since: datetime, until: datetime, by: str, most: int
) -> list[dict[str, Any]]:
    """Sums of whole hours, the dearest first, or by time in its order. One query, of rollups only."""
    group = GROUPS[by]
    found = rows.filter(hour__gte=since, hour__lt=until).order_by()
    if by == "day":
        found = found.annotate(day=TruncDay("hour", tzinfo=UTC))
    elif by == "hour":
        found = found.annotate(at=TruncHour("hour", tzinfo=UTC))
    sums = found.values(group).annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
    ordered = sums.order_by(group) if by in ("day", "hour") else sums.order_by("-sum_cost_nano", group)
    return [
        {"group": row[group], **{name: row[f"sum_{name}"] or 0 for name in SUMS}} for row in ordered[:most]
    ]  # fmt: skip


def _floor(moment: datetime) -> Any:
    """Before 1970 and after 10889 there is nothing."""
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return ids.floor(min(max(milliseconds, 0), (1 << 48) - 1))
