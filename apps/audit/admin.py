"""The audit log in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from apps.audit import cells, differences
from apps.audit.keyset import GrowingAdmin
from apps.audit.models import Record

# By the last word of the action; the others are grey.
TONES = {
    **dict.fromkeys(("created", "issued", "added", "allowed", "recovered"), "good"),
    **dict.fromkeys(("deleted", "removed", "revoked", "failed", "erased", "forbidden"), "bad"),
    **dict.fromkeys(("rotated", "expired", "deactivated", "disabled"), "warn"),
}


@admin.register(Record)
class RecordAdmin(GrowingAdmin):
    list_display = ["shown_at", "shown_action", "shown_target", "shown_actor", "address"]
    list_display_links = ["shown_at", "shown_target"]
    list_filter = [("area", ChoicesDropdownFilter)]
    list_fullwidth = True
    search_fields = ["action__startswith", "target_label__startswith", "actor_name__startswith", "=target_id"]
    search_help_text = "Beginning of an action (key.), a name or a person"
    sortable_by: list[str] = []
    downloaded = (
        *(("at", "at"), ("action", "action"), ("kind", "target_type"), ("id", "target_id"), ("name", "target_label")),
        *(("by", "actor_name"), ("token", "token"), ("address", "address"), ("area", "area")),
        ("tenant_id", "tenant_id"),
    )
    nothing_yet = "Every change that somebody makes here, or through the API, is written down in this list."
    fieldsets = [
        (None, {"fields": ["shown_at", "shown_action", "shown_target", "shown_actor", "address"]}),
        ("What changed", {"fields": ["changes"]}),
        ("For processes", {"fields": ["shown_kind", "area", "revision"]}),
    ]
    readonly_fields = ["shown_at", "shown_action", "shown_target", "shown_actor", "shown_kind", "changes"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Record]:
        rows: QuerySet[Record] = super().get_queryset(request)
        return rows if request.resolver_match.kwargs.get("object_id") else rows.defer("before", "after")

    @display(description="When (UTC)")
    def shown_at(self, record: Record) -> str:
        return cells.stamp(record.at)

    @display(description="Action")
    def shown_action(self, record: Record) -> str:
        words = record.action.replace(".", " ").replace("_", " ")
        return cells.badge(words, TONES.get(record.action.rpartition(".")[2], ""))

    @display(description="Of")
    def shown_target(self, record: Record) -> str:
        return record.target_label

    @display(description="By")
    def shown_actor(self, record: Record) -> str:
        return cells.lines([record.actor_name, f"token {record.token}"]) if record.token else record.actor_name

    @display(description="Row")
    def shown_kind(self, record: Record) -> str:
        return f"{record.target_type} {record.target_id}"

    @display(description="Fields")
    def changes(self, record: Record) -> str:
        found = differences.between(record)
        return render_to_string("admin/differences.html", {"differences": found}) if found else cells.NOTHING
