"""Limits and budgets in the admin, with how much of each budget is gone."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.audit.admin import AuditedAdmin, Inline, ReadOnlyAdmin
from apps.audit.models import Area
from apps.catalog.forms import DollarsField
from apps.domain import money
from apps.quotas import services
from apps.quotas.models import Budget, BudgetWindow, Limit

SUBJECTS = ["tenant", "project", "user", "key", "model"]
ENABLED = {"enabled": "success", "disabled": "danger"}
WARN_PERCENT = 80


class RuleAdmin(AuditedAdmin):
    area = Area.QUOTAS
    list_filter = ["is_enabled"]
    list_select_related = SUBJECTS
    autocomplete_fields = SUBJECTS
    search_fields = ["tenant__name__startswith", "project__name__startswith", "key__name__startswith"]
    actions = ["enable", "disable"]

    @display(description="Of", label=True)
    def shown_scope(self, rule: Any) -> str:
        return str(rule.scope)

    @display(description="Subject")
    def shown_subject(self, rule: Any) -> str:
        narrowed = rule.scope in ("user", "model") and rule.tenant is not None
        return f"{rule.subject} in {rule.tenant}" if narrowed else str(rule.subject)

    @display(description="State", ordering="is_enabled", label=ENABLED)
    def shown_state(self, rule: Any) -> str:
        return "enabled" if rule.is_enabled else "disabled"

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for rule in queryset:
            services.enable(rule, actor=request.user)

    @admin.action(description="Disable")
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for rule in queryset:
            services.disable(rule, actor=request.user)


@admin.register(Limit)
class LimitAdmin(RuleAdmin):
    list_display = [
        "shown_subject",
        "shown_scope",
        "shown_state",
        "requests_per_minute",
        "tokens_per_minute",
        "concurrency",
    ]
    fieldsets = [
        ("One subject", {"fields": [tuple(SUBJECTS)]}),
        ("Allowance", {"fields": ["requests_per_minute", "tokens_per_minute", "concurrency", "is_enabled"]}),
    ]


class BudgetForm(forms.ModelForm):
    amount = DollarsField(label="Amount, $ a period")

    class Meta:
        model = Budget
        fields = [*SUBJECTS, "amount", "period", "timezone", "is_enabled"]


class WindowInline(Inline):
    """The periods of a budget. A process may hold a part of one: held is not spent."""

    model = BudgetWindow
    fields = ["starts", "ends", "shown_limit", "shown_settled", "shown_held"]
    readonly_fields = fields
    ordering = ["-starts"]
    max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetWindow]:
        rows: QuerySet[BudgetWindow] = super().get_queryset(request)
        return rows.order_by("-starts")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Limit")
    def shown_limit(self, window: BudgetWindow) -> str:
        return money.text(window.limit)

    @display(description="Settled")
    def shown_settled(self, window: BudgetWindow) -> str:
        return money.text(window.settled)

    @display(description="Held")
    def shown_held(self, window: BudgetWindow) -> str:
        return money.text(window.held)


@admin.register(Budget)
class BudgetAdmin(RuleAdmin):
    form = BudgetForm
    list_display = ["shown_subject", "shown_scope", "shown_amount", "period", "burn", "shown_state"]
    list_filter = ["is_enabled", "period"]
    inlines = [WindowInline]
    fieldsets = [
        ("One subject", {"fields": [tuple(SUBJECTS)]}),
        ("Budget", {"fields": ["amount", "period", "timezone", "is_enabled"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        now = timezone.now()
        current = BudgetWindow.objects.filter(budget=OuterRef("pk"), starts__lte=now, ends__gt=now)
        rows: QuerySet[Budget] = super().get_queryset(request)
        return rows.annotate(settled=Subquery(current.values("settled")[:1]))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Another subject or period is another budget."""
        return [*SUBJECTS, "period"] if obj is not None else []

    @display(description="Amount", ordering="amount")
    def shown_amount(self, budget: Budget) -> str:
        return money.text(budget.amount)

    @display(description="This period")
    def burn(self, budget: Any) -> SafeString:
        settled = budget.settled or 0
        percent = 100 if not budget.amount else min(100, 100 * settled // budget.amount)
        colour = "bg-red-500" if percent >= 100 else "bg-orange-500" if percent >= WARN_PERCENT else "bg-green-500"
        return format_html(
            '<div class="w-40" title="{} of {}"><div class="h-2 rounded-full bg-base-200 dark:bg-base-700">'
            '<div class="h-2 rounded-full {}" style="width:{}%"></div></div>'
            '<div class="text-xs mt-1">{} · {}%</div></div>',
            money.text(settled),
            money.text(budget.amount),
            colour,
            percent,
            money.text(settled),
            percent,
        )


@admin.register(BudgetWindow)
class BudgetWindowAdmin(ReadOnlyAdmin):
    list_display = ["budget", "starts", "ends", "shown_limit", "shown_settled", "shown_held"]
    list_select_related = [f"budget__{name}" for name in SUBJECTS]

    @display(description="Limit", ordering="limit")
    def shown_limit(self, window: BudgetWindow) -> str:
        return money.text(window.limit)

    @display(description="Settled", ordering="settled")
    def shown_settled(self, window: BudgetWindow) -> str:
        return money.text(window.settled)

    @display(description="Held", ordering="held")
    def shown_held(self, window: BudgetWindow) -> str:
        return money.text(window.held)
