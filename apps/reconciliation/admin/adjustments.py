"""What was posted of reports, and taking it back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.pages import ReadOnlyAdmin
from apps.audit.rows import RowFilter
from apps.reconciliation import services
from apps.reconciliation.forms import signed
from apps.reconciliation.models import AdjustedDay, Adjustment

TONES = {
    Adjustment.State.WAITING: "info",
    Adjustment.State.POSTED: "good",
    Adjustment.State.UNDOING: "info",
    Adjustment.State.UNDONE: "plain",
}
ITEM_TONES = {
    AdjustedDay.State.WAITING: "info",
    AdjustedDay.State.POSTED: "good",
    AdjustedDay.State.CHANGED: "warn",
    AdjustedDay.State.UNDONE: "plain",
}
MOST_LISTED = 200


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = [
        "shown_when",
        "report",
        "shown_state",
        "shown_sum",
        "shown_rows",
        cells.column("created_by", "By"),
        "note",
    ]
    list_filter = [("report", RowFilter), ("state", ChoicesDropdownFilter)]
    list_select_related = ["report__provider", "created_by"]
    sortable_by: list[str] = []
    actions_detail = ["take_back"]
    nothing_yet = "What differs between a provider's report and the ledger can be posted from the report's page."
    fields = [
        "report",
        "shown_state",
        "shown_when",
        "shown_sum",
        "shown_rows",
        "project",
        "created_by",
        "note",
        "items",
    ]
    readonly_fields = ["shown_state", "shown_when", "shown_sum", "shown_rows", "items"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Adjustment]:
        rows: QuerySet[Adjustment] = super().get_queryset(request)
        return rows.annotate(total=Sum("items__amount_nano"), rows_added=Sum("items__rows"), days=Count("items"))

    def has_take_back_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("reconciliation.change_adjustment"))

    @action(description="Take back", icon="undo", permissions=["take_back"])
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        back = reverse("admin:reconciliation_adjustment_change", args=[row.pk])
        outcome = ""
        if request.method == "POST":
            try:
                services.take_back(row, actor=request.user)
                messages.success(request, "It is being taken back.")
                return HttpResponseRedirect(back)
            except ValidationError as error:
                outcome = " ".join(error.messages)
        does = "To each of its rows in the ledger the opposite is added. Both stay; together they come to nothing."
        context = {"title": f"Take back {row}", "does": does, "button": "Take back", "outcome": outcome, "back": back}
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, "admin/ask.html", whole)

    @display(description="When (UTC)")
    def shown_when(self, row: Adjustment) -> str:
        return cells.stamp(row.created_at)

    @display(description="State")
    def shown_state(self, row: Adjustment) -> str:
        return cells.badge(str(row.get_state_display()), TONES[Adjustment.State(row.state)])

    @display(description="In all")
    def shown_sum(self, row: Any) -> str:
        return cells.amount(signed(row.total or 0))

    @display(description="Rows in the ledger")
    def shown_rows(self, row: Any) -> str:
        return cells.number(row.rows_added or 0)

    @display(description="Differences")
    def items(self, row: Any) -> str:
        listed = row.items.all()[:MOST_LISTED]
        table = cells.table(
            ("Day (UTC)", "Model", "Credential", "State", "Amount", "Rows"),
            [
                (
                    f"{item.day:%Y-%m-%d}",
                    item.model or "all",
                    item.credential or "all",
                    cells.badge(str(item.get_state_display()), ITEM_TONES[AdjustedDay.State(item.state)]),
                    cells.amount(signed(item.amount_nano)),
                    cells.number(item.rows),
                )
                for item in listed
            ],
        )
        return table if row.days <= MOST_LISTED else cells.lines([table, f"and {row.days - MOST_LISTED:,} more"])
