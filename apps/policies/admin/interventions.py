"""What policies did, call by call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RadioFilter,
)
from unfold.decorators import display

from apps.audit import cells
from apps.audit.keyset import GrowingAdmin
from apps.audit.panels import Panel, panel_of
from apps.audit.rows import RowFilter
from apps.domain.guardrails.kinds import KINDS
from apps.policies.models import Action, DataPolicy, Intervention

TONES = {Action.BLOCK: "bad", Action.STOP: "bad", Action.MASK: "warn", Action.ROUTE: "info"}
PLACES = {"request": False, "answer": True}
_WHOSE = ("tenant", "project", "key", "user", "policy")


class KindFilter(DropdownFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, known.label) for kind, known in KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Intervention]) -> QuerySet[Intervention]:
        return queryset.filter(kinds__has_key=self.value()) if self.value() in KINDS else queryset


class PlaceFilter(RadioFilter):
    title = "found in"
    parameter_name = "in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("request", "A request"), ("answer", "An answer")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Intervention]) -> QuerySet[Intervention]:
        place = PLACES.get(str(self.value()))
        return queryset if place is None else queryset.filter(is_answer=place)


@admin.register(Intervention)
class InterventionAdmin(GrowingAdmin):
    list_display = [
        *("shown_at", "shown_action", "shown_policy", "shown_kinds", "shown_place"),
        *("tenant", "shown_key", "shown_request"),
    ]
    list_display_links = ["shown_at", "shown_action"]
    list_filter = [
        ("policy", RowFilter),
        ("action", ChoicesDropdownFilter),
        KindFilter,
        PlaceFilter,
        ("tenant", RowFilter),
    ]
    list_fullwidth = True
    date_hierarchy = "at"
    search_fields = ["request_id"]  # see get_search_results
    search_help_text = "A request id"
    sortable_by: list[str] = []
    nothing_yet = "Each call that a policy refuses, routes, masks or ends is written down here, by kinds: never a text."
    fieldsets = [
        (None, {"fields": ["shown_at", "shown_action", "shown_policy", "shown_kinds", "shown_place"]}),
        ("Whose call it was", {"fields": ["tenant", "project", "key", "user"]}),
        ("Which", {"fields": ["shown_request", "shown_attempt"]}),
    ]
    readonly_fields = [
        *("shown_at", "shown_action", "shown_policy", "shown_kinds", "shown_place", "shown_request", "shown_attempt"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Intervention]:
        """Joined here, and not by `list_select_related`: whoever is named may be gone, on the page of one row too."""
        rows: QuerySet[Intervention] = super().get_queryset(request).select_related(*_WHOSE)
        sees = request.user.has_perm
        return rows.annotate(
            opens_policy=Value(sees("policies.view_datapolicy")), opens_ledger=Value(sees("usage.view_entry"))
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Callers know a request as `req_<hex>`."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            asked = UUID(term.removeprefix("req_"))
        except ValueError:
            return queryset.none(), False
        return queryset.filter(request_id=asked), False

    @display(description="When (UTC)")
    def shown_at(self, row: Intervention) -> str:
        return cells.stamp(row.at)

    @display(description="Done")
    def shown_action(self, row: Intervention) -> str:
        return cells.badge(str(row.get_action_display()).lower(), TONES.get(Action(row.action), ""))

    @display(description="By the policy")
    def shown_policy(self, row: Any) -> str:
        if row.policy is None:
            return cells.lines([row.policy_name, "it is no more"])
        if not row.opens_policy:
            return str(row.policy_name)
        return cells.link(reverse("admin:policies_datapolicy_change", args=[row.policy_id]), row.policy_name)

    @display(description="For")
    def shown_kinds(self, row: Intervention) -> str:
        if not row.kinds:
            return "what could not be looked into"
        return cells.lines([f"{_label(kind)} × {count:,}" for kind, count in sorted(row.kinds.items())])

    @display(description="In")
    def shown_place(self, row: Intervention) -> str:
        return "the answer" if row.is_answer else "the request"

    @display(description="Key")
    def shown_key(self, row: Intervention) -> str:
        return cells.NOTHING if row.key is None else cells.lines([row.key.name, cells.code(row.key.prefix)])

    @display(description="Request")
    def shown_request(self, row: Any) -> str:
        """To the ledger, where it may have a row: what was refused at once has none."""
        told = cells.code(row.public_request_id)
        if not row.opens_ledger or (row.action == Action.BLOCK and not row.attempt):
            return told
        return cells.link(f"{reverse('admin:usage_entry_changelist')}?q={row.public_request_id}", told)

    @display(description="Attempt")
    def shown_attempt(self, row: Intervention) -> str:
        return str(row.attempt) if row.attempt else "before the first: nobody had been asked"


@panel_of(DataPolicy)
def of_policy(request: HttpRequest, row: Any) -> Panel | None:
    """A look at the newest only: there may be many."""
    if not request.user.has_perm("policies.view_intervention"):
        return None
    newest = Intervention.objects.filter(policy=row).order_by("-id").values_list("at", flat=True).first()
    link = f"{reverse('admin:policies_intervention_changelist')}?policy__id__exact={row.pk}"
    return Panel("It stepped in", "never" if newest is None else cells.utc(newest), "Refused, routed, masked", link)


def _label(kind: str) -> str:
    return KINDS[kind].label if kind in KINDS else kind
