"""Months whose rows were dropped, with what they came to."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from apps.audit import cells
from apps.audit.pages import ReadOnlyAdmin
from apps.domain import money
from apps.usage.models import SealedMonth


@admin.register(SealedMonth)
class SealedMonthAdmin(ReadOnlyAdmin):
    list_display = ["shown_month", "shown_number", "shown_finished", "shown_rows", "shown_cost"]
    list_fullwidth = True
    sortable_by: list[str] = []
    nothing_yet = (
        "Sealing keeps the totals of a month that is past WEIR_RETENTION_MONTHS and drops its rows."
        " “manage.py ledger_seal” does it; with --dry-run it only tells what it would seal."
    )
    fieldsets = [
        (
            None,
            {
                "fields": ["shown_month", "shown_number", "shown_began", "shown_finished"],
                "description": "Rows that came in after it are sealed under the next number.",
            },
        ),
        ("What it came to", {"fields": ["shown_rows", "shown_kinds", "shown_cost", "shown_digest"]}),
    ]
    readonly_fields = [
        *("shown_month", "shown_number", "shown_began", "shown_finished"),
        *("shown_rows", "shown_kinds", "shown_cost", "shown_digest"),
    ]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return not lookup.startswith("digest") and bool(super().lookup_allowed(lookup, value, request))

    @display(description="Month")
    def shown_month(self, seal: SealedMonth) -> str:
        return f"{seal.month:%Y-%m}"

    @display(description="Seal no.")
    def shown_number(self, seal: SealedMonth) -> int:
        return seal.number

    @display(description="Rows")
    def shown_rows(self, seal: SealedMonth) -> str:
        return cells.number(seal.rows)

    @display(description="Of them")
    def shown_kinds(self, seal: SealedMonth) -> str:
        names = ("posted", "unconfirmed", "corrected", "repriced")
        return ", ".join(f"{getattr(seal, f'rows_{name}'):,} {name}" for name in names)

    @display(description="Total")
    def shown_cost(self, seal: SealedMonth) -> str:
        return cells.amount(money.exact(seal.cost_nano))

    @display(description="Begun (UTC)")
    def shown_began(self, seal: SealedMonth) -> str:
        return cells.stamp(seal.began_at)

    @display(description="Sealed (UTC)")
    def shown_finished(self, seal: SealedMonth) -> str:
        if seal.finished_at is None:
            return cells.badge("not finished: run ledger_seal again", "warn")
        return cells.stamp(seal.finished_at)

    @display(description="Digest")
    def shown_digest(self, seal: SealedMonth) -> str:
        return cells.code(seal.digest)
