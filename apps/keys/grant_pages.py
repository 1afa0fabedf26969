"""Programs that people have signed in, in the admin: seen, and ended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from unfold.decorators import display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.keys import grants
from apps.keys.models import Grant


@admin.register(Grant)
class GrantAdmin(AuditedAdmin):
    area = Area.KEYS
    list_display = ["shown_client", "user", "project", "tenant", "shown_state", "shown_begun", "shown_refreshed"]
    list_filter = [(name, RowFilter) for name in ("tenant", "project", "user")]
    list_select_related = ["user", "project", "tenant"]
    search_fields = ["user__username__startswith", "client__startswith", "=public_id"]
    search_help_text = "Beginning of a user name or of the program's name"
    ordering = ["-id"]
    actions = ["end"]
    nothing_yet = "People sign programs such as Claude Code in with a code, at /device/."
    fields = ["shown_state", "shown_client", "user", "project", "tenant", "address", "shown_begun", "shown_refreshed"]
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """People let programs in themselves."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @to_many(
        "End",
        does="They are refused within two seconds, and their people have to sign them in again.",
        done="Ended",
        open=lambda: Q(ended_at=None),
        is_danger=True,
    )
    def end(self, row: Grant, *, actor: Any) -> None:
        grants.end(row, actor=actor, why="ended by an operator" if actor.is_superuser else "ended by the staff")

    @display(description="Program")
    def shown_client(self, grant: Grant) -> str:
        return grant.client or "unnamed"

    @display(description="State", ordering="ended_at")
    def shown_state(self, grant: Grant) -> str:
        return cells.badge("signed in", "good") if grant.ended_at is None else cells.badge(grant.ended_why, "bad")

    @display(description="Signed in", ordering="created_at")
    def shown_begun(self, grant: Grant) -> str:
        return cells.ago(grant.created_at)

    @display(description="Last token", ordering="refreshed_at")
    def shown_refreshed(self, grant: Grant) -> str:
        """It gets another one every hour that it is used."""
        return cells.ago(grant.refreshed_at, never="the first one")
