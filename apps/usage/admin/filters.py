"""Filters of the ledger and of the rollups. A range of time is always in force, so that no list reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RadioFilter, TextFilter

from apps.usage import finding
from apps.usage.finding import OUTCOMES, request_of, with_outcome

RANGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "today": ("Today (UTC)", None),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "month": ("This month (UTC)", None),
    "30d": ("Last 30 days", timedelta(days=30)),
    "all": ("All time", None),
}
DEFAULT = "7d"
NAMED = ("tenant", "project", "user", "key", "model", "provider", "pinned")  # whom and what rows name


def since(value: str | None) -> datetime | None:
    """None: from the beginning."""
    now = datetime.now(UTC)
    if value in ("today", "month"):
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.replace(day=1) if value == "month" else midnight
    _, length = RANGES.get(value or DEFAULT, RANGES[DEFAULT])
    return None if length is None else now - length


class SinceFilter(RadioFilter):
    """By id, which sorts by time: on PostgreSQL only the partitions of the range are read."""

    title = "time"
    parameter_name = "since"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.is_of_one_request = request_of(request.GET.get(SEARCH_VAR, "")) is not None
        return [(slug, label) for slug, (label, _) in RANGES.items()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            choice["form"].data = {self.parameter_name: self.value() or DEFAULT}
            yield choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        begin = since(self.value())
        if begin is None or (self.value() is None and self.is_of_one_request):
            return queryset
        return self.cut(queryset, begin)

    def cut(self, queryset: QuerySet[Any], begin: datetime) -> QuerySet[Any]:
        return queryset.filter(id__gte=finding.since(begin))


class HourFilter(SinceFilter):
    def cut(self, queryset: QuerySet[Any], begin: datetime) -> QuerySet[Any]:
        return queryset.filter(hour__gte=begin)


class OutcomeFilter(DropdownFilter):
    """How an attempt ended, and what is not known of it."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(OUTCOMES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return with_outcome(queryset, self.value())


class SessionFilter(TextFilter):
    """What a coding agent's session did, by the whole of its id."""

    title = "session"
    parameter_name = "session"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        session = (self.value() or "").strip()
        return queryset.filter(session=session) if session else queryset
