"""Refused calls hour by hour, those of nobody that is known among them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.rows import RowFilter
from apps.domain.refusals import REASONS
from apps.usage.admin.filters import HourFilter
from apps.usage.models import Refusal


class ReasonFilter(DropdownFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, reason.label) for word, reason in REASONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() in REASONS else queryset


NOBODY = "nobody that is known"


@admin.register(Refusal)
class RefusalAdmin(GrowingAdmin):
    list_display = ["shown_hour", "shown_tenant", "shown_key", "shown_model", "reason", "status", "shown_count", "last"]
    list_filter = [HourFilter, *((name, RowFilter) for name in ("tenant", "project", "user", "key")), ReasonFilter]
    list_select_related = ["tenant", "project", "key"]
    list_fullwidth = True
    downloaded = (
        *(("hour", "hour"), ("tenant", "tenant.name"), ("project", "project.name"), ("key", "key.name")),
        *(("user_id", "user_id"), ("model", "model_name"), ("reason", "reason"), ("status", "status")),
        *(("count", "count"), ("first_at", "first_at"), ("last_at", "last_at")),
    )
    ordering = ["-hour", "-id"]
    sortable_by = ["shown_hour"]  # what there is an index for
    nothing_yet = "Calls that are refused before any provider is asked are counted here, by the hour."
    fieldsets = [
        (None, {"fields": ["shown_hour", "tenant", "project", "user", "key", "shown_model"]}),
        ("Why", {"fields": ["reason", "advice", "status", "shown_count", "first_at", "last_at"]}),
    ]
    readonly_fields = ["shown_hour", "shown_model", "shown_count", "advice"]

    @display(description="Hour (UTC)", ordering="hour")
    def shown_hour(self, row: Refusal) -> str:
        return f"{row.hour:%Y-%m-%d %H:%M}"

    @display(description="Tenant")
    def shown_tenant(self, row: Refusal) -> str:
        return NOBODY if row.tenant is None else f"{row.tenant} / {row.project}"

    @display(description="Key")
    def shown_key(self, row: Refusal) -> str:
        return cells.NOTHING if row.key is None else cells.lines([row.key.name, cells.code(row.key.prefix)])

    @display(description="Model")
    def shown_model(self, row: Refusal) -> str:
        return row.model_name or "several, or none"

    @display(description="Times")
    def shown_count(self, row: Refusal) -> str:
        return cells.number(row.count)

    @display(description="Last")
    def last(self, row: Refusal) -> str:
        return cells.ago(row.last_at)

    @display(description="What helps")
    def advice(self, row: Refusal) -> str:
        return REASONS[row.reason].advice
