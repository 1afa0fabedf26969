"""What came of checking the books."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.usage.models import Verification


@admin.register(Verification)
class VerificationAdmin(GrowingAdmin):
    list_display = ["shown_began", "shown_state", "shown_kind", "shown_checked", "shown_seconds"]
    sortable_by: list[str] = []
    nothing_yet = "The worker checks the last two days of the books every hour, and all of them every night."
    fieldsets = [
        (None, {"fields": ["shown_began", "shown_state", "shown_kind", "shown_checked", "shown_seconds"]}),
        ("Promises", {"fields": ["promises"]}),
        ("What breaks them", {"fields": ["offenders"]}),
    ]
    readonly_fields = [*list_display, "promises", "offenders"]

    def get_fieldsets(self, request: HttpRequest, obj: Verification | None = None) -> Any:
        return self.fieldsets if obj is not None and obj.violations else self.fieldsets[:-1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Verification]:
        rows: QuerySet[Verification] = super().get_queryset(request)
        return rows if request.resolver_match.kwargs.get("object_id") else rows.defer("findings")

    @display(description="When (UTC)")
    def shown_began(self, row: Verification) -> str:
        return cells.stamp(row.began_at)

    @display(description="The books are")
    def shown_state(self, row: Verification) -> str:
        if row.failure:
            return cells.badge(f"not checked: {row.failure}", "warn")
        if row.violations:
            return cells.badge(f"not true: {row.violations:,} violations", "bad")
        return cells.badge("true", "good")

    @display(description="What was read")
    def shown_kind(self, row: Verification) -> str:
        return "the last two days" if row.is_quick else "everything"

    @display(description="Checks")
    def shown_checked(self, row: Verification) -> str:
        return cells.number(row.checked)

    @display(description="Took")
    def shown_seconds(self, row: Verification) -> str:
        return cells.amount(f"{row.seconds:,.1f} s")

    @display(description="Each")
    def promises(self, row: Verification) -> str:
        return cells.table(
            ("Promise", "Checked", ""),
            [
                (
                    cells.lines([finding["promise"], cells.code(finding["name"])]),
                    cells.number(finding["checked"]),
                    cells.badge(f"{finding['violations']:,} broken", "bad")
                    if finding["violations"]
                    else cells.badge("kept", "good"),
                )
                for finding in row.findings
            ],
        )

    @display(description="The first of each")
    def offenders(self, row: Verification) -> str:
        return cells.table(
            ("", "Of", "Is", "Should be"),
            [
                (cells.code(finding["name"]), offender["id"], offender["found"], offender["expected"])
                for finding in row.findings
                for offender in finding["offenders"]
            ],
        )
