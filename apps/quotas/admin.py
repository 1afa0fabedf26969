"""Limits and budgets in the admin, with how much of each budget is gone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, RadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.audit.rows import RowFilter, is_id
from apps.domain import money
from apps.quotas import panels, replica_pages, services
from apps.quotas.bars import burn_bar, with_spent
from apps.quotas.forms import SUBJECTS, BudgetForm, LimitForm
from apps.quotas.increase_admin import IncreaseAdmin as IncreaseAdmin
from apps.quotas.models import NARROWED, Budget, BudgetWindow, Limit, Period
from apps.tenants.models import Tenant

__all__ = ["panels", "replica_pages"]  # which register themselves

AMOUNTS = ("amount", "overdraft", "settled", "held")
ONE = "Choose one. Only a user or a model may be narrowed to a tenant."
EXCLUDED = {name: {*SUBJECTS} - {name} for name in SUBJECTS}
EXCLUDED |= {name: {*SUBJECTS} - {name, "tenant"} for name in NARROWED}
EXCLUDED["tenant"] = {*SUBJECTS} - {"tenant", *NARROWED}


def _while_possible(name: str) -> str:
    """For the page's script: a subject is asked for until another one excludes it."""
    others = " || ".join(f"$data.{other}" for other in sorted(EXCLUDED[name]))
    return f"$data.{name} || !({others})"


# On the page of one that there is, the period is no field any more, and days are shown if it has any.
IF_FIXED = "$data.period === undefined || $data.period == 'fixed'"


class RuleAdmin(AuditedAdmin):
    area = Area.QUOTAS
    list_filter = [
        *((name, RowFilter) for name in SUBJECTS),
        ("is_enabled", BooleanRadioFilter),
    ]
    list_select_related = list(SUBJECTS)
    autocomplete_fields = list(SUBJECTS)
    search_fields = [
        *("tenant__name__startswith", "project__name__startswith", "key__name__startswith"),
        *("user__username__startswith", "model__name__startswith", "endpoint__name__startswith"),
    ]
    search_help_text = "Beginning of the name of a tenant, project, key, user, model or endpoint"
    actions = ["enable", "disable"]
    conditional_fields = {name: _while_possible(name) for name in SUBJECTS}
    what: tuple[str, list[str]]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Of a rule that is there, the one subject that it has."""
        if obj is None:
            return [("Of one subject", {"fields": list(SUBJECTS), "description": ONE}), self._what]
        subjects = [name for name in SUBJECTS if getattr(obj, f"{name}_id") is not None]
        return [(None, {"fields": subjects}), self._what]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Another subject is another rule."""
        return list(SUBJECTS) if obj is not None else []

    @property
    def _what(self) -> Any:
        title, fields = self.what
        return (title, {"fields": fields})

    @display(description="Of")
    def shown_scope(self, rule: Any) -> str:
        return cells.badge(rule.scope)

    @display(description="Subject")
    def shown_subject(self, rule: Any) -> str:
        if rule.scope == "key":
            return cells.lines([rule.subject.name, cells.code(rule.subject.prefix)])
        narrowed = rule.scope in NARROWED and rule.tenant is not None
        return f"{rule.subject} in {rule.tenant}" if narrowed else str(rule.subject)

    @display(description="State", ordering="is_enabled")
    def shown_state(self, rule: Any) -> str:
        return cells.badge("enabled", "good") if rule.is_enabled else cells.badge("disabled", "bad")

    @to_many("Enable", does="They restrain calls again.", done="Enabled", open=lambda: Q(is_enabled=False))
    def enable(self, row: Any, *, actor: Any) -> None:
        services.enable(row, actor=actor)

    @to_many(
        "Disable",
        does="They restrain nobody any more.",
        done="Disabled",
        open=lambda: Q(is_enabled=True),
        is_danger=True,
    )
    def disable(self, row: Any, *, actor: Any) -> None:
        services.disable(row, actor=actor)


def _count(name: str, description: str) -> Any:
    @display(description=description, ordering=name)
    def shown(self: Any, limit: Limit) -> str:
        return cells.number(getattr(limit, name))

    return shown


@admin.register(Limit)
class LimitAdmin(RuleAdmin):
    form = LimitForm
    updated_by = staticmethod(services.update_limit)
    list_display = ["shown_subject", "shown_scope", "shown_state", "shown_requests", "shown_tokens", "shown_calls"]
    what = ("Allowance", ["requests_per_minute", "tokens_per_minute", "concurrency", "is_enabled"])
    nothing_yet = "A limit holds back the requests, tokens or calls at one time of a tenant, a key or a model."
    shown_requests = _count("requests_per_minute", "Requests a minute")
    shown_tokens = _count("tokens_per_minute", "Tokens a minute")
    shown_calls = _count("concurrency", "At one time")

    def save_model(self, request: HttpRequest, obj: Limit, form: Any, change: bool) -> None:
        if change:
            services.update_limit(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)


class WindowInline(Inline):
    """The periods of a budget. A process may hold a part of one: held is not spent."""

    model = BudgetWindow
    fields = ["shown_starts", "shown_ends", "shown_limit", "shown_settled", "shown_held", "shown_overrun"]
    readonly_fields = fields
    ordering = ["-starts"]
    verbose_name = "period"
    verbose_name_plural = "periods"
    per_page = 24

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetWindow]:
        rows: QuerySet[BudgetWindow] = super().get_queryset(request)
        return rows.select_related(*(f"budget__{name}" for name in SUBJECTS))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="From (UTC)")
    def shown_starts(self, window: BudgetWindow) -> str:
        return cells.stamp(window.starts)

    @display(description="To (UTC)")
    def shown_ends(self, window: BudgetWindow) -> str:
        return cells.stamp(window.ends)

    @display(description="Amount")
    def shown_limit(self, window: BudgetWindow) -> str:
        beyond = window.ceiling - window.limit
        return cells.lines([money.text(window.limit), *([f"+ {money.text(beyond)} overdraft"] if beyond > 0 else [])])

    @display(description="Spent")
    def shown_settled(self, window: BudgetWindow) -> str:
        held = window.held + window.credit
        return burn_bar(window.settled, held, amount=window.limit, overdraft=max(0, window.ceiling - window.limit))

    @display(description="Held by gateways")
    def shown_held(self, window: BudgetWindow) -> str:
        return money.text(window.held + window.credit)

    @display(description="Beyond all reservations")
    def shown_overrun(self, window: BudgetWindow) -> str:
        """What providers billed over what was reserved."""
        return money.text(window.overrun) if window.overrun else cells.NOTHING


class WithinFilter(RadioFilter):
    """A tenant's budgets with those of its projects, as links from its page ask for them."""

    title = "belongs to"
    parameter_name = "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The one that was asked for, by those who may see its name."""
        value = str(self.value() or "")
        if (pk := self._tenant()) is None or not request.user.has_perm("tenants.view_tenant"):
            return [(value, "Whatever the link said")] if value else []
        name = Tenant.objects.filter(pk=pk).values_list("name", flat=True).first()
        return [(value, f"{name or 'nobody'}, with projects")]

    def _tenant(self) -> str | None:
        word = str(self.value() or "")
        return word if is_id(Tenant, word) else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Budget]) -> QuerySet[Budget]:
        if not self.value():
            return queryset
        pk = self._tenant() or 0  # which is nobody's
        return queryset.filter(Q(tenant=pk) | Q(project__tenant=pk))


@admin.register(Budget)
class BudgetAdmin(RuleAdmin):
    form = BudgetForm
    updated_by = staticmethod(services.update_budget)
    list_display = ["shown_subject", "shown_scope", "shown_amount", "shown_period", "burn", "shown_state"]
    list_filter = [*RuleAdmin.list_filter, ("period", ChoicesDropdownFilter), WithinFilter]
    inlines = [WindowInline]
    downloaded = (
        *(("of", "scope"), ("subject", lambda row: str(row.subject)), ("tenant", "tenant.name"), ("period", "period")),
        *((name, lambda row, name=name: money.dollars(getattr(row, name) or 0)) for name in AMOUNTS),
        *(("starts_on", "starts_on"), ("ends_on", "ends_on"), ("time_zone", "timezone"), ("enabled", "is_enabled")),
    )
    what = ("Budget", ["amount", "overdraft", "period", "starts_on", "ends_on", "timezone", "is_enabled"])
    conditional_fields = {**RuleAdmin.conditional_fields, "starts_on": IF_FIXED, "ends_on": IF_FIXED}
    nothing_yet = "When a budget is spent, calls are refused until its next period begins."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        return with_spent(super().get_queryset(request).raised_at(timezone.now()))

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj is not None else []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first, (title, options) = super().get_fieldsets(request, obj)
        if obj is not None and obj.period != Period.FIXED:
            options = {"fields": [name for name in options["fields"] if name not in ("starts_on", "ends_on")]}
        return [first, (title, options)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Another period is another budget."""
        return [*SUBJECTS, "period"] if obj is not None else []

    def kept(self, obj: Budget) -> str:
        return "Its periods are history: disable it instead."

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if change:
            services.update_budget(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    @display(description="Amount", ordering="amount")
    def shown_amount(self, budget: Any) -> str:
        if not budget.raised:
            return cells.amount(money.text(budget.amount))
        more = f"{money.text(budget.raised)} more until {cells.utc(budget.raised_until)}"
        return cells.lines([money.text(budget.amount), more])

    @display(description="Period", ordering="period")
    def shown_period(self, budget: Budget) -> str:
        days = [f"{budget.starts_on} to {budget.ends_on}"] if budget.starts_on is not None else []
        return cells.lines([budget.get_period_display(), *days])

    @display(description="Spent and held in this period")
    def burn(self, budget: Any) -> str:
        return burn_bar(budget.settled or 0, budget.held or 0, amount=budget.in_force, overdraft=budget.overdraft)
