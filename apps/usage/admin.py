"""The ledger and its rollups in the admin: looked at, never edited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from apps.audit.admin import ReadOnlyAdmin
from apps.domain import ids, money
from apps.usage.models import Entry, HourlyRollup

STATUSES = {
    "ok": "success",
    "client_gone": "info",
    "client_error": "warning",
    "refused": "warning",
    "upstream_error": "danger",
    "upstream_broken": "danger",
    "timeout": "danger",
    "gateway_error": "danger",
    "interrupted": "danger",
}
RANGES = {
    "1h": ("Last hour", 1),
    "24h": ("Last 24 hours", 24),
    "7d": ("Last 7 days", 168),
    "30d": ("Last 30 days", 720),
}


class SinceFilter(admin.SimpleListFilter):
    """By id, which sorts by time: on PostgreSQL only the partitions of the range are read."""

    title = "time"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, label) for slug, (label, _) in RANGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if self.value() not in RANGES:
            return queryset
        since = datetime.now(UTC) - timedelta(hours=RANGES[str(self.value())][1])
        return queryset.filter(id__gte=ids.floor(int(since.timestamp() * 1000)))


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = [
        "started_at",
        "shown_status",
        "model_name",
        "tenant",
        "key",
        "tokens_in",
        "out_total",
        "shown_cost",
        "latency_ms",
        "ttft_ms",
    ]
    list_filter = [SinceFilter, "status", "state", "usage_source", "client_protocol"]
    list_select_related = ["tenant", "key"]
    search_fields = ["=request_id", "=trace_id", "=provider_request_id"]
    search_help_text = "A request id, trace id or the provider's request id"
    ordering = ["-id"]
    sortable_by: list[str] = []

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Callers know a request as `req_<hex>`."""
        return super().get_search_results(request, queryset, search_term.strip().removeprefix("req_"))

    @display(description="Status", label=STATUSES)
    def shown_status(self, entry: Entry) -> tuple[str, str]:
        shown = "unconfirmed" if entry.state == "unconfirmed" else entry.get_status_display()
        return entry.status, shown

    @display(description="Tokens in")
    def tokens_in(self, entry: Entry) -> int:
        return entry.in_fresh + entry.in_cache_read + entry.in_cache_write_5m + entry.in_cache_write_1h

    @display(description="Cost")
    def shown_cost(self, entry: Entry) -> str:
        if entry.is_unpriced:
            return "unpriced"
        if entry.low_nano != entry.high_nano:
            return f"{money.text(entry.low_nano)} to {money.text(entry.high_nano)}"
        return money.text(entry.cost_nano)


@admin.register(HourlyRollup)
class HourlyRollupAdmin(ReadOnlyAdmin):
    list_display = ["hour", "tenant", "project", "model", "key", "calls", "errors", "out_total", "shown_cost"]
    list_select_related = ["tenant", "project", "model", "key"]
    date_hierarchy = None
    ordering = ["-hour", "-id"]

    @display(description="Cost", ordering="cost_nano")
    def shown_cost(self, rollup: HourlyRollup) -> str:
        return money.text(rollup.cost_nano)
