"""Budgets and limits on the pages of those whom they restrain."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.models import User
from apps.audit import cells
from apps.audit.panels import Listing, Panel, listing_of, panel_of
from apps.catalog.models import Model, PinnedEndpoint
from apps.domain import money
from apps.keys.models import Key
from apps.quotas.bars import burn_bar, percent, with_spent
from apps.quotas.forms import SUBJECTS
from apps.quotas.models import NARROW, Budget, Limit
from apps.tenants.models import Project, Tenant

MOST_LISTED = 8
SCOPES = {Tenant: "tenant", Project: "project", Key: "key", User: "user", Model: "model", PinnedEndpoint: "endpoint"}


def _rules(model: Any, row: Any) -> QuerySet[Any]:
    """Those of the row itself: a tenant's rules for a user or a model in it are that one's."""
    scope = SCOPES[type(row)]
    others = {f"{name}__isnull": True for name in SUBJECTS if name not in (scope, "tenant")}
    found: QuerySet[Any] = model.objects.filter(is_enabled=True, **{scope: row}, **others)
    return found


def _budgets(request: HttpRequest, row: Any) -> Panel | None:
    if not request.user.has_perm("quotas.view_budget"):
        return None
    budgets = list(with_spent(_rules(Budget, row))[:20])
    scope = SCOPES[type(row)]
    if not budgets:
        if not request.user.has_perm("quotas.add_budget"):
            return None
        return Panel("Budget", "none", "Set one", f"{reverse('admin:quotas_budget_add')}?{scope}={row.pk}")
    tightest: Any = max(budgets, key=lambda budget: percent(budget.settled or 0, budget.amount))
    spent = percent(tightest.settled or 0, tightest.amount)
    return Panel(
        f"{tightest.get_period_display()} budget",
        f"{spent} %",
        f"{money.text(tightest.settled or 0)} of {money.text(tightest.amount)}",
        f"{reverse('admin:quotas_budget_changelist')}?{scope}__id__exact={row.pk}",
    )


def _limits(request: HttpRequest, row: Any) -> Panel | None:
    if not request.user.has_perm("quotas.view_limit"):
        return None
    limits = list(_rules(Limit, row)[:20])
    scope = SCOPES[type(row)]
    if not limits:
        if not request.user.has_perm("quotas.add_limit"):
            return None
        return Panel("Limits", "none", "Set one", f"{reverse('admin:quotas_limit_add')}?{scope}={row.pk}")
    least = {
        unit: min(values)
        for unit, name in (("rpm", "requests_per_minute"), ("tpm", "tokens_per_minute"), ("at once", "concurrency"))
        if (values := [value for limit in limits if (value := getattr(limit, name)) is not None])
    }
    first, *others = (f"{value:,} {unit}" for unit, value in least.items())
    link = f"{reverse('admin:quotas_limit_changelist')}?{scope}__id__exact={row.pk}"
    return Panel("Limits", first, ", ".join(others), link)


for restrained in SCOPES:
    panel_of(restrained)(_budgets)
    panel_of(restrained)(_limits)


@listing_of(Tenant, Project)
def _burning(request: HttpRequest, row: Any) -> Listing | None:
    """Of a tenant those of its projects too, which its list of budgets shows as well."""
    if not request.user.has_perm("quotas.view_budget"):
        return None
    found = Q(tenant=row) | Q(project__tenant=row) if isinstance(row, Tenant) else Q(project=row)
    budgets = with_spent(Budget.objects.filter(found)).select_related("tenant", *NARROW).order_by("-is_enabled", "-id")
    rows = [_burnt(budget) for budget in budgets[:MOST_LISTED]]
    asked = f"within={row.pk}" if isinstance(row, Tenant) else f"project__id__exact={row.pk}"
    link = f"{reverse('admin:quotas_budget_changelist')}?{asked}"
    table = cells.table(("Of", "Period", "Spent"), rows) if rows else ""
    return Listing("Budgets", table, link, "None: nobody is stopped, whatever is spent.")


def _burnt(budget: Any) -> tuple[Any, ...]:
    page = reverse("admin:quotas_budget_change", args=[budget.pk])
    bar = burn_bar(budget.settled or 0, budget.held or 0, amount=budget.amount, overdraft=budget.overdraft)
    state = [] if budget.is_enabled else [cells.badge("disabled", "bad")]
    whom = cells.link(page, f"{budget.scope} {budget.subject}")
    return cells.lines([whom, *state]), cells.lines([budget.get_period_display(), money.text(budget.amount)]), bar
