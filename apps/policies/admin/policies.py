"""Data policies: what they ask, who is under them, and what they have found of late."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import BaseModelFormSet
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter, RadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.forms import named
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.domain.guardrails.kinds import KINDS
from apps.policies import reach, services, tallies
from apps.policies.admin.trial import Trial
from apps.policies.forms import AssignmentForm, PolicyForm, RuleForm
from apps.policies.models import SUBJECTS, Assignment, DataPolicy, Rule

MOST_NAMED = 4
ABOUT_RULES = (
    "What is found in calls, and what becomes of it, stands in its rules. Masking writes a call anew, which is done "
    "where it is translated from one dialect to another; where its bytes are passed on as they are, a rule that masks "
    "refuses the call and says so."
)


class Stranding(ValidationError):
    """Somebody would be left without a deployment of a model, and nobody has said that this is meant."""


class RuleInline(Inline):
    model = Rule
    form = RuleForm
    fields = ["kind", "on_request", "on_response"]
    verbose_name_plural = "rules"


class AssignmentInline(Inline):
    model = Assignment
    form = AssignmentForm
    fields = [*SUBJECTS, "everyone"]
    autocomplete_fields = list(SUBJECTS)
    verbose_name = "subject"
    verbose_name_plural = "who is under it"
    per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assignment]:
        rows: QuerySet[Assignment] = super().get_queryset(request)
        return rows.select_related("policy", *SUBJECTS)


class WhomFilter(RadioFilter):
    title = "who is under it"
    parameter_name = "whom"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("everyone", "Everyone"), *((name, f"A {name}") for name in SUBJECTS), ("nobody", "Nobody")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DataPolicy]) -> QuerySet[DataPolicy]:
        whom = self.value()
        if whom == "nobody":
            return queryset.filter(assignments=None)
        if whom == "everyone":
            return queryset.filter(assignments__everyone=True)
        return queryset.exclude(**{f"assignments__{whom}": None}).distinct() if whom in SUBJECTS else queryset


@admin.register(DataPolicy)
class DataPolicyAdmin(Trial, AuditedAdmin):
    area = Area.POLICIES
    form = PolicyForm
    updated_by = staticmethod(services.update_policy)
    list_display = ["name", "shown_state", "shown_asks", "shown_rules", "shown_under", "shown_found"]
    list_filter = [WhomFilter, ("is_enabled", BooleanRadioFilter)]
    search_fields = ["name__icontains"]
    search_help_text = "Part of the name"
    inlines = [RuleInline, AssignmentInline]
    actions = ["enable", "disable"]
    nothing_yet = "A data policy says to which providers somebody's calls may go, and what becomes of personal data."
    change_form_outer_after_template = "admin/policies/found.html"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets = [
            (None, {"fields": ["name", "is_enabled", "note"]}),
            ("Where calls may go", {"fields": ["required_tags", "forbidden_tags", "regions"]}),
            ("What must not go everywhere", {"fields": ["route_tag"], "description": ABOUT_RULES}),
        ]
        if "accepts" in request.POST or isinstance(getattr(request, "refusal", None), Stranding):
            sets.insert(0, ("Leaves models without a deployment", {"fields": ["accepts"]}))
        return sets

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataPolicy]:
        rows: QuerySet[DataPolicy] = super().get_queryset(request)
        return rows.prefetch_related("rules")

    def complete(self, rows: list[DataPolicy]) -> None:
        """Two queries for the whole page."""
        found = tallies.of_late(rows)
        under: dict[int, list[Assignment]] = {}
        for assignment in Assignment.objects.filter(policy__in=rows).select_related(*SUBJECTS).order_by("pk"):
            under.setdefault(assignment.policy_id, []).append(assignment)
        for row in rows:
            row.told = (under.get(row.pk, []), found.get(row.pk, 0))  # type: ignore[attr-defined]

    # --- columns -----------------------------------------------------------------------------------------------

    @display(description="State", ordering="is_enabled")
    def shown_state(self, policy: DataPolicy) -> str:
        return cells.badge("enabled", "good") if policy.is_enabled else cells.badge("disabled", "bad")

    @display(description="Only to providers")
    def shown_asks(self, policy: DataPolicy) -> str:
        asks = [
            *(f"with {tag}" for tag in policy.required_tags),
            *(f"without {tag}" for tag in policy.forbidden_tags),
            *([f"in {' or '.join(policy.regions)}"] if policy.regions is not None else []),
        ]
        return cells.words(asks, none="any")

    @display(description="Acts on")
    def shown_rules(self, policy: DataPolicy) -> str:
        rules = [(rule, "; ".join(filter(None, _acts(rule)))) for rule in policy.rules.all()]
        return cells.lines([f"{_label(rule.kind)}: {acts}" for rule, acts in rules])

    @display(description="Who is under it")
    def shown_under(self, policy: Any) -> str:
        whom, _ = policy.told
        if not whom:
            return cells.badge("nobody", "warn")
        more = [f"and {len(whom) - MOST_NAMED} more"] if len(whom) > MOST_NAMED else []
        return cells.lines([*(row.whom for row in whom[:MOST_NAMED]), *more])

    @display(description="Found in 7 days")
    def shown_found(self, policy: Any) -> str:
        return cells.number(policy.told[1])

    # --- its page ----------------------------------------------------------------------------------------------

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        row = options.get("obj") or context.get("original")
        if row is not None and row.pk is not None:
            context["found"] = tallies.chart(row)
        return super().render_change_form(request, context, *args, **options)

    def save_model(self, request: HttpRequest, obj: DataPolicy, form: Any, change: bool) -> None:
        request.stranded = reach.stranded(obj) if change else {}  # type: ignore[attr-defined]  # before the change
        if change:
            services.change_policy(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        if formset.model is not Assignment:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for row in formset.new_objects:
            with named(row):
                services.add_assignment(row, actor=request.user)
        for row in formset.deleted_objects:
            services.unassign(row, actor=request.user)

    def save_related(self, request: HttpRequest, form: Any, formsets: list[Any], change: bool) -> None:
        """What it comes to is known when all of it is written; what is refused then is undone."""
        super().save_related(request, form, formsets, change)
        services.check(form.instance)
        after = reach.stranded(form.instance)
        new = {whom: models for whom, models in after.items() if set(models) - set(request.stranded.get(whom, ()))}  # type: ignore[attr-defined]
        if new and not form.cleaned_data.get("accepts"):
            raise Stranding({"accepts": [_left(whom, models) for whom, models in new.items()]})
        for told in reach.unknown(form.instance):
            messages.warning(request, told)

    @to_many("Enable", does="They hold for everybody under them.", done="Enabled", open=lambda: Q(is_enabled=False))
    @transaction.atomic
    def enable(self, row: DataPolicy, *, actor: Any) -> None:
        """What strands somebody is asked about on its page."""
        services.update_policy(row, actor=actor, is_enabled=True)
        if left := reach.stranded(row):
            raise ValidationError([*(_left(whom, models) for whom, models in left.items()), "Enable it on its page."])

    @to_many(
        "Disable",
        does="They hold for nobody any more.",
        done="Disabled",
        open=lambda: Q(is_enabled=True),
        is_danger=True,
    )
    def disable(self, row: DataPolicy, *, actor: Any) -> None:
        services.update_policy(row, actor=actor, is_enabled=False)


def _label(kind: str) -> str:
    return KINDS[kind].label if kind in KINDS else kind


def _acts(rule: Rule) -> tuple[str, str]:
    return (rule.on_request and f"{rule.on_request}", rule.on_response and f"{rule.on_response} in answers")


def _left(whom: str, models: tuple[str, ...]) -> str:
    more = f" and {len(models) - MOST_NAMED} more" if len(models) > MOST_NAMED else ""
    return f"For {whom} no deployment would be left of {', '.join(models[:MOST_NAMED])}{more}."
