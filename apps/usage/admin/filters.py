"""Filters of the ledger and of the rollups. A range of time is always in force, so that no list reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RadioFilter, TextFilter

from apps.domain import ids
from apps.usage import selectors
from apps.usage.models import IS_ERROR, NOT_ERRORS, Status

RANGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "all": ("All time", None),
}
DEFAULT = "7d"
NAMED = ("tenant", "project", "user", "key", "model", "provider", "pinned")  # whom and what rows name
CENTURY = 3.2e9  # seconds


def since(value: str | None) -> datetime | None:
    """None: from the beginning."""
    _, length = RANGES.get(value or DEFAULT, RANGES[DEFAULT])
    return None if length is None else datetime.now(UTC) - length


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
        return queryset.filter(id__gte=ids.floor(int(begin.timestamp() * 1000)))


class HourFilter(SinceFilter):
    def cut(self, queryset: QuerySet[Any], begin: datetime) -> QuerySet[Any]:
        return queryset.filter(hour__gte=begin)


class OutcomeFilter(DropdownFilter):
    """How an attempt ended, and what is not known of it."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        special = [
            *(("errors", "Any error"), ("unconfirmed", "Cost not confirmed"), ("unpriced", "Without a price")),
            ("cached", "From the cache"),
        ]
        return [*special, *((status.value, str(status.label)) for status in Status)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "errors":
                return queryset.filter(IS_ERROR)
            case "unconfirmed":
                return queryset.filter(selectors.is_open())
            case "unpriced":
                return queryset.filter(selectors.is_unpriced())
            case "cached":
                return queryset.filter(cached__isnull=False)
            case status if status in NOT_ERRORS:
                return queryset.filter(status=status)
            case status if status in Status.values:
                return queryset.filter(IS_ERROR, status=status)
        return queryset


class SessionFilter(TextFilter):
    """What a coding agent's session did, by the whole of its id."""

    title = "session"
    parameter_name = "session"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        session = (self.value() or "").strip()
        return queryset.filter(session=session) if session else queryset


def request_of(term: str) -> UUID | None:
    """The request that `req_<hex>`, a request's id or an entry's id names; None: it is no such id."""
    try:
        found = UUID(term.strip().removeprefix("req_"))
    except ValueError:
        return None
    age = datetime.now(UTC).timestamp() - ids.milliseconds(found) / 1000
    is_ours = found.version == 7 and abs(age) < CENTURY  # a trace id has 32 hexadecimal digits too
    return ids.request_of(found) if is_ours else None
