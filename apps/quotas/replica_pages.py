"""The gateway processes that the database knows of: who lives, and who was given up."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from unfold.decorators import display

from apps.audit import cells
from apps.audit.pages import ReadOnlyAdmin
from apps.quotas import windows
from apps.quotas.models import Replica


@admin.register(Replica)
class ReplicaAdmin(ReadOnlyAdmin):
    list_display = ["name", "shown_state", "shown_heartbeat", "epoch"]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    ordering = ["-heartbeat"]
    nothing_yet = "Every gateway process is written down here when it asks for its first piece of a budget."
    fieldsets = [(None, {"fields": ["name", "shown_state", "shown_heartbeat", "epoch", "shown_fenced"]})]
    readonly_fields = ["shown_state", "shown_heartbeat", "shown_fenced"]

    @display(description="State")
    def shown_state(self, replica: Replica) -> str:
        if replica.fenced_at is not None:
            return cells.badge("given up", "bad")
        is_silent = replica.heartbeat < timezone.now() - windows.DEAD_AFTER
        return cells.badge("silent", "warn") if is_silent else cells.badge("lives", "good")

    @display(description="Heard of", ordering="heartbeat")
    def shown_heartbeat(self, replica: Replica) -> str:
        return cells.ago(replica.heartbeat)

    @display(description="Given up")
    def shown_fenced(self, replica: Replica) -> str:
        return cells.ago(replica.fenced_at, never="no")
