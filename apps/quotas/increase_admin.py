"""More for budgets, as it was asked for: decided here, by operators about tenants' own budgets too."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.audit import cells
from apps.audit.bulk import ManyForm, to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.panels import Panel, panel_of
from apps.audit.rows import RowFilter
from apps.domain import money
from apps.quotas import increases
from apps.quotas.models import Budget, Increase

State = Increase.State
TONES = {State.REQUESTED: "warn", State.APPROVED: "good", State.DECLINED: "bad"}


class NoteForm(ManyForm):
    note = forms.CharField(
        max_length=1000, required=False, widget=UnfoldAdminTextInputWidget, help_text="They read it."
    )


def _waiting() -> Q:
    return Q(state=State.REQUESTED, until__gt=timezone.now())


def _in_force() -> Q:
    return Q(state=State.APPROVED, until__gt=timezone.now())


@admin.register(Increase)
class IncreaseAdmin(AuditedAdmin):
    area = Area.QUOTAS
    list_display = ["shown_amount", "shown_budget", "shown_state", "shown_person", "shown_until", "shown_asked"]
    list_filter = [("state", ChoicesDropdownFilter), ("budget", RowFilter)]
    list_select_related = ["requested_by", *(f"budget__{name}" for name in ("tenant", "project", "key", "user"))]
    ordering = ["-id"]
    actions = ["approve", "decline", "end"]
    fields = [
        *("shown_state", "shown_amount", "shown_budget", "reason", "shown_person", "shown_asked", "shown_until"),
        *("decided_by", "decided_at", "note"),
    ]
    readonly_fields = fields
    nothing_yet = "Whoever has spent a budget may ask for more of it in the portal."

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever stands under the budget asks."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @to_many(
        "Approve", does="They are in force within a second, until they are over.", done="Approved", open=_waiting,
        form=NoteForm,
    )  # fmt: skip
    def approve(self, row: Increase, *, actor: Any, note: str) -> None:
        increases.approve(row, actor=actor, note=note)

    @to_many("Decline", does="Who has asked is told.", done="Declined", open=_waiting, form=NoteForm, is_danger=True)
    def decline(self, row: Increase, *, actor: Any, note: str) -> None:
        increases.decline(row, actor=actor, note=note)

    @to_many(
        "End now", does="Their budgets are what they were, within a second.", done="Ended", open=_in_force,
        form=NoteForm, is_danger=True,
    )  # fmt: skip
    def end(self, row: Increase, *, actor: Any, note: str) -> None:
        increases.withdraw(row, actor=actor, note=note)

    @display(description="More", ordering="amount")
    def shown_amount(self, row: Increase) -> str:
        return cells.amount(money.text(row.amount))

    @display(description="Of")
    def shown_budget(self, row: Increase) -> str:
        return str(row.budget)

    @display(description="State")
    def shown_state(self, row: Increase) -> str:
        return cells.badge(row.get_state_display().lower(), TONES.get(State(row.state), "info"))

    @display(description="Asked by")
    def shown_person(self, row: Increase) -> str:
        return str(row.requested_by or "somebody who left")

    @display(description="Until (UTC)")
    def shown_until(self, row: Increase) -> str:
        return cells.stamp(row.until)

    @display(description="Asked")
    def shown_asked(self, row: Increase) -> str:
        return cells.ago(row.created_at, never="")


@panel_of(Budget)
def _panel(request: HttpRequest, budget: Any) -> Panel | None:
    if not request.user.has_perm("quotas.view_increase"):
        return None
    states = list(budget.increases.filter(_waiting() | _in_force()).values_list("state", flat=True)[:100])
    waiting = states.count(State.REQUESTED)
    note = f"{len(states) - waiting} in force"
    link = f"{reverse('admin:quotas_increase_changelist')}?budget__id__exact={budget.pk}"
    return Panel("Increases", f"{waiting} to decide" if waiting else "none to decide", note, link)
