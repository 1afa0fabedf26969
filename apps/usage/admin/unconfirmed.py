"""Calls whose cost nobody knows yet, and where a person says what one did cost."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Value
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from unfold.decorators import display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.domain import money
from apps.usage import selectors, services
from apps.usage.forms import ResolveForm
from apps.usage.models import Entry, Kind, Unconfirmed
from apps.usage.services import COUNTERS


@admin.register(Unconfirmed)
class UnconfirmedAdmin(AuditedAdmin):
    area = Area.USAGE
    form = ResolveForm
    list_display = [
        *("shown_started", "shown_status", cells.column("model_name", "Requested model"), "tenant"),
        *("shown_range", "shown_estimate"),
    ]
    list_filter = [(name, RowFilter) for name in ("tenant", "project", "key", "model", "provider")]
    list_select_related = ["tenant"]
    list_fullwidth = True
    sortable_by: list[str] = []
    counted = "unconfirmed calls"
    nothing = "No unconfirmed usage"
    nothing_yet = (
        "That is the good state: every cost is known."
        " Calls whose provider never answered come here, and those of killed processes."
    )
    fieldsets = [
        (
            None,
            {
                "fields": ["shown_started", "shown_status", "tenant", "model_name", "provider", "shown_entry"],
            },
        ),
        (
            "What it may have cost",
            {
                "fields": ["shown_range", "shown_estimate", "provider_request_id"],
                "description": "The provider may know: ask for the request id below, or look at the invoice.",
            },
        ),
        (
            "What it did cost",
            {
                "fields": ["said", "exactly", COUNTERS[:2], COUNTERS[2:4], COUNTERS[4:], "note"],
                "description": "Budgets are charged the most until then. The difference becomes an entry of its own,"
                " and budgets have it back. It can be said only once.",
            },
        ),
    ]
    readonly_fields = [
        *("shown_started", "shown_status", "tenant", "model_name", "provider", "shown_entry"),
        *("shown_range", "shown_estimate", "provider_request_id"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Unconfirmed]:
        rows: QuerySet[Unconfirmed] = super().get_queryset(request)
        rows = rows.filter(selectors.is_open(), kind=Kind.UNCONFIRMED)
        return rows.annotate(opens_entry=Value(request.user.has_perm("usage.view_entry")))

    def get_fieldsets(self, request: HttpRequest, obj: Unconfirmed | None = None) -> Any:
        if not self.has_change_permission(request, obj):
            return self.fieldsets[:-1]
        if obj is None or obj.price_version is not None:
            return self.fieldsets
        heading, options = self.fieldsets[-1]
        return [*self.fieldsets[:-1], (heading, {**options, "fields": ["said", "exactly", "note"]})]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        context["show_save_and_continue"] = False  # it is not here any more
        return super().render_change_form(request, context, *args, **options)

    def save_model(self, request: HttpRequest, obj: Unconfirmed, form: ModelForm, change: bool) -> None:
        assert isinstance(form, ResolveForm)
        entry = Entry.objects.get(pk=obj.pk)
        correction = services.resolve(entry, actor=request.user, note=form.cleaned_data["note"], **form.answer)
        self.message_user(request, f"It cost {money.exact(entry.cost_nano + correction.cost_nano)}.")

    @display(description="Started (UTC)")
    def shown_started(self, entry: Unconfirmed) -> str:
        return cells.stamp(entry.started_at)

    @display(description="What happened")
    def shown_status(self, entry: Unconfirmed) -> str:
        return cells.badge(str(entry.get_status_display()), "warn")

    @display(description="Between")
    def shown_range(self, entry: Unconfirmed) -> str:
        return cells.amount(f"{money.exact(entry.low_nano)} and {money.exact(entry.high_nano)}")

    @display(description="Probably")
    def shown_estimate(self, entry: Unconfirmed) -> str:
        return cells.amount(money.exact(entry.cost_nano))

    @display(description="In the ledger")
    def shown_entry(self, entry: Any) -> str:
        name = f"req_{entry.request_id.hex}"
        if not entry.opens_entry:
            return cells.code(name)
        return cells.link(reverse("admin:usage_entry_change", args=[entry.pk]), name)
