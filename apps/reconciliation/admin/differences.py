"""What differs, line by line, and why that may be."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.rows import RowFilter
from apps.domain import money
from apps.reconciliation import judging
from apps.reconciliation.admin.charts import STATES
from apps.reconciliation.forms import signed, signed_count
from apps.reconciliation.models import Difference, Status
from apps.usage.forms import LABELS

KINDS = tuple(LABELS.values())[:5]


@admin.register(Difference)
class DifferenceAdmin(GrowingAdmin):
    list_display = [
        *("shown_day", cells.column("model", "Model"), "shown_credential", "shown_status"),
        *("shown_there", "shown_here", "shown_difference", "shown_tokens", "shown_doubts"),
    ]
    list_filter = [("report", RowFilter), ("status", ChoicesDropdownFilter)]
    search_fields = ["model__startswith"]
    search_help_text = "Beginning of the model"
    ordering = ["id"]
    sortable_by: list[str] = []
    list_fullwidth = True
    nothing_yet = (
        "Bring in a provider's report: it is compared by day, model and credential, and what comes of it is here."
    )
    fields = [
        *("report", "shown_day", "shown_model", "shown_credential", "shown_status", "shown_hints"),
        *("shown_there", "shown_here", "shown_difference", "shown_tokens", "shown_kinds", "shown_calls"),
        "shown_doubts",
    ]
    readonly_fields = [name for name in fields if name != "report"]

    @display(description="Day (UTC)")
    def shown_day(self, row: Difference) -> str:
        link = reverse("admin:reconciliation_difference_change", args=[row.pk])
        return cells.link(link, f"{row.day:%Y-%m-%d}")

    @display(description="Model")
    def shown_model(self, row: Difference) -> str:
        return row.model or "all"

    @display(description="Credential")
    def shown_credential(self, row: Difference) -> str:
        return row.credential or "all"

    @display(description="State")
    def shown_status(self, row: Difference) -> str:
        return cells.badge(str(row.get_status_display()), STATES[Status(row.status)])

    @display(description="Provider")
    def shown_there(self, row: Difference) -> str:
        if row.reported_nano is None and row.reported_tokens is not None:
            return cells.amount(f"{row.reported_tokens:,} tokens")
        return cells.amount(cells.NOTHING if row.reported_nano is None else money.text(row.reported_nano))

    @display(description="Weir")
    def shown_here(self, row: Difference) -> str:
        if not row.report.has_cost:
            return cells.amount(f"{row.counted_tokens:,} tokens")
        return cells.amount(money.text(row.counted_nano))

    @display(description="To post")
    def shown_difference(self, row: Difference) -> str:
        return cells.amount(cells.NOTHING if row.difference_nano is None else signed(row.difference_nano))

    @display(description="Tokens: provider less Weir")
    def shown_tokens(self, row: Difference) -> str:
        off = row.difference_tokens
        return cells.amount(cells.NOTHING if off is None else signed_count(off))

    @display(description="Doubts")
    def shown_doubts(self, row: Difference) -> str:
        told = [
            f"{count:,} {word}"
            for count, word in ((row.unconfirmed, "unconfirmed"), (row.estimated, "estimated"))
            if count
        ]
        return ", ".join(told) or cells.NOTHING

    @display(description="Calls: provider, Weir")
    def shown_calls(self, row: Difference) -> str:
        there = cells.NOTHING if row.requests is None else f"{row.requests:,}"
        return f"{there} · {row.calls:,}"

    @display(description="Tokens by kind")
    def shown_kinds(self, row: Difference) -> str:
        there, here = (row.kinds.get(name) or [None] * len(KINDS) for name in ("reported", "counted"))
        return cells.table(
            ("", "Provider", "Weir", "Difference"),
            [
                (kind, cells.number(theirs), cells.number(ours), _off(theirs, ours))
                for kind, theirs, ours in zip(KINDS, there, here, strict=True)
            ],
        )

    @display(description="What may explain it")
    def shown_hints(self, row: Difference) -> str:
        found: list[Any] = list(judging.hints(row)) or ["Nothing to explain."]
        if row.status in (Status.NOT_HERE, Status.NOT_THERE):
            for what, name in (("model", row.model), ("credential", row.credential)):
                query = urlencode({"provider": row.report.provider_id, "name": name})
                page = reverse("admin:reconciliation_providername_add")
                found += [cells.link(f"{page}?{query}", f"Name the {what}")] if name else []
        return cells.lines(found)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("report__provider")


def _off(theirs: int | None, ours: int | None) -> str:
    return cells.amount(cells.NOTHING if theirs is None or ours is None else signed_count(theirs - ours))
