"""What a lost disk may have cost beside all that is in the ledger; also on the page of the budget it was held of."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum, Value
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import RadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.pages import ReadOnlyAdmin
from apps.audit.panels import Panel, panel_of
from apps.domain import money
from apps.quotas.forms import SUBJECTS
from apps.quotas.models import Budget, Gap

OF_BUDGET = "window__budget__id__exact"


class StateFilter(RadioFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("open", "closed"):
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "open")


@admin.register(Gap)
class GapAdmin(ReadOnlyAdmin):
    list_display = ["shown_noticed", "shown_state", "shown_budget", "replica", "shown_amount"]
    list_filter = [StateFilter]
    list_select_related = [f"window__budget__{name}" for name in SUBJECTS]
    list_fullwidth = True
    sortable_by: list[str] = []
    nothing = "No gaps"
    nothing_yet = "That is the good state: no disk was lost with records of calls on it."
    fieldsets = [
        (None, {"fields": ["shown_noticed", "shown_state", "shown_why", "shown_amount", "shown_budget", "replica"]}),
    ]
    readonly_fields = ["shown_noticed", "shown_state", "shown_why", "shown_amount", "shown_budget"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gap]:
        rows: QuerySet[Gap] = super().get_queryset(request)
        return rows.annotate(opens_budget=Value(request.user.has_perm("quotas.view_budget")))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == OF_BUDGET or bool(super().lookup_allowed(lookup, value, request))

    @display(description="Since (UTC)")
    def shown_noticed(self, gap: Gap) -> str:
        return cells.stamp(gap.noticed_at)

    @display(description="State")
    def shown_state(self, gap: Gap) -> str:
        if gap.closed_at is None:
            return cells.badge("open", "bad")
        return cells.lines([cells.badge("closed", "good"), cells.stamp(gap.closed_at)])

    @display(description="Why")
    def shown_why(self, gap: Gap) -> str:
        if gap.closed_at is None:
            return "The process was given up before its journal was read: nobody can account for what it held."
        return "Its process came back, or its journal turned up: what was known of it is in the ledger."

    @display(description="At most")
    def shown_amount(self, gap: Gap) -> str:
        return cells.amount(money.exact(gap.amount))

    @display(description="Budget")
    def shown_budget(self, gap: Any) -> str:
        budget = gap.window.budget
        name = f"{budget.scope} {budget.subject}"
        if gap.opens_budget:
            name = cells.link(reverse("admin:quotas_budget_change", args=[budget.pk]), name)
        return cells.lines([name, f"from {gap.window.starts:%Y-%m-%d}"])


@panel_of(Budget)
def of_budget(request: HttpRequest, row: Any) -> Panel | None:
    """Where one is open."""
    if not request.user.has_perm("quotas.view_gap"):
        return None
    amount = Gap.objects.filter(window__budget=row, closed_at=None).aggregate(sum=Sum("amount"))["sum"]
    if not amount:
        return None
    link = f"{reverse('admin:quotas_gap_changelist')}?state=open&{OF_BUDGET}={row.pk}"
    return Panel("Lost with a disk", f"up to {money.text(amount)}", "beside what is spent", link)
