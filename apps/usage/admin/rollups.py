"""Usage hour by hour."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.rows import RowFilter
from apps.domain import money
from apps.usage.admin.columns import COUNTERS, dollars_of
from apps.usage.admin.filters import NAMED, HourFilter
from apps.usage.models import HourlyRollup


def _count(name: str, description: str) -> Any:
    @display(description=description)
    def shown(self: Any, rollup: HourlyRollup) -> str:
        return cells.number(getattr(rollup, name))

    return shown


@admin.register(HourlyRollup)
class HourlyRollupAdmin(GrowingAdmin):
    list_display = [
        *("shown_hour", "shown_project", "shown_key", "model", "shown_calls", "shown_errors"),
        *("tokens", "shown_cost"),
    ]
    list_filter = [
        HourFilter,
        *((name, RowFilter) for name in NAMED),
    ]
    list_select_related = ["tenant", "project", "model", "key"]
    list_fullwidth = True
    downloaded = (
        *(("hour", "hour"), ("tenant", "tenant.name"), ("project", "project.name"), ("key", "key.name")),
        *(("user_id", "user_id"), ("model", "model.name"), ("provider_id", "provider_id")),
        *((name, name) for name in ("calls", "errors", "unconfirmed", "unpriced", *COUNTERS)),
        *((name, dollars_of(f"{name}_nano")) for name in ("cost", "low", "high")),
    )
    ordering = ["-hour", "-id"]
    sortable_by = ["shown_hour", "shown_cost"]  # what there is an index for
    nothing_yet = "The ledger is summed up here every few minutes, once there have been calls."
    fieldsets = [
        (
            None,
            {"fields": ["shown_hour", "tenant", "project", "user", "key", "model", "provider", "endpoint", "pinned"]},
        ),
        ("Calls", {"fields": ["shown_calls", "shown_errors", "latency"]}),
        ("Tokens", {"fields": ["fresh", "read", "written", "out", "reasoning"]}),
        ("Money", {"fields": ["exact_cost", "saved", "doubt", "estimated", "unpriced"]}),
    ]
    readonly_fields = [
        *("shown_hour", "shown_calls", "shown_errors", "latency", "fresh", "read", "written", "out", "reasoning"),
        *("exact_cost", "saved", "doubt"),
    ]
    fresh = _count("in_fresh", "Input")
    read = _count("in_cache_read", "Input from cache")
    out = _count("out_total", "Output")
    reasoning = _count("out_reasoning", "of the output, reasoning")
    shown_calls = _count("calls", "Calls")
    shown_errors = _count("errors", "Errors")

    @display(description="Hour (UTC)", ordering="hour")
    def shown_hour(self, rollup: HourlyRollup) -> str:
        return f"{rollup.hour:%Y-%m-%d %H:%M}"

    @display(description="Project")
    def shown_project(self, rollup: HourlyRollup) -> str:
        return f"{rollup.tenant} / {rollup.project}"

    @display(description="Key")
    def shown_key(self, rollup: HourlyRollup) -> str:
        key = rollup.key
        return cells.NOTHING if key is None else cells.lines([key.name, cells.code(key.prefix)])

    @display(description="Tokens in → out")
    def tokens(self, rollup: HourlyRollup) -> str:
        total = rollup.in_fresh + rollup.in_cache_read + rollup.in_cache_write_5m + rollup.in_cache_write_1h
        return cells.amount(f"{total:,} → {rollup.out_total:,}")

    @display(description="Cost", ordering="cost_nano")
    def shown_cost(self, rollup: HourlyRollup) -> str:
        return cells.amount(money.text(rollup.cost_nano))

    @display(description="Input to cache")
    def written(self, rollup: HourlyRollup) -> str:
        return cells.number(rollup.in_cache_write_5m + rollup.in_cache_write_1h)

    @display(description="Mean latency")
    def latency(self, rollup: HourlyRollup) -> str:
        return f"{rollup.latency_ms // rollup.calls:,} ms" if rollup.calls else cells.NOTHING

    @display(description="Cost")
    def exact_cost(self, rollup: HourlyRollup) -> str:
        return money.exact(rollup.cost_nano)

    @display(description="Saved by the cache")
    def saved(self, rollup: HourlyRollup) -> str:
        if not rollup.hits:
            return "nothing"
        return f"{money.exact(rollup.saved_nano)}: {rollup.hits:,} calls, {rollup.saved_tokens:,} tokens"

    @display(description="Not confirmed")
    def doubt(self, rollup: HourlyRollup) -> str:
        low, high = money.exact(rollup.low_nano), money.exact(rollup.high_nano)
        return f"{rollup.unconfirmed:,} calls; in all between {low} and {high}" if rollup.unconfirmed else "none"
