"""Policies on the pages of those who are under them."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from apps.audit import cells
from apps.audit.panels import Listing, Panel, listing_of, panel_of
from apps.catalog.models import Model
from apps.keys.models import Key
from apps.policies.admin.caches import lasting
from apps.policies.models import Assignment, CachePolicy
from apps.tenants.models import Project, Tenant

MOST_LISTED = 8


def _under(row: Any) -> Q:
    """Of all that the row is under, what it is under by belonging to somebody too."""
    found = Q(everyone=True)
    if isinstance(row, Tenant):
        return found | Q(tenant=row)
    found |= Q(tenant=row.tenant_id)
    return found | (Q(project=row) if isinstance(row, Project) else Q(project=row.project_id) | Q(key=row))


@panel_of(Tenant)
@panel_of(Project)
@panel_of(Key)
def _policies(request: HttpRequest, row: Any) -> Panel | None:
    if not request.user.has_perm("policies.view_datapolicy"):
        return None
    rows = Assignment.objects.filter(_under(row), policy__is_enabled=True).order_by("policy__name")
    under = dict(rows.values_list("policy__name", "policy_id"))
    if not under:
        note = "Its calls go wherever its models are"
        return Panel("Data policies", "none", note, reverse("admin:policies_datapolicy_changelist"))
    first, *others = under
    link = reverse("admin:policies_datapolicy_change", args=[under[first]])
    return Panel("Under", first, f"and {', '.join(others)}" if others else "Data policy", link)


@listing_of(Tenant, Project)
def _assigned(request: HttpRequest, row: Any) -> Listing | None:
    if not request.user.has_perm("policies.view_datapolicy"):
        return None
    found = Assignment.objects.filter(_under(row)).select_related("policy", "tenant", "project", "key")
    rows = [
        (
            cells.link(reverse("admin:policies_datapolicy_change", args=[one.policy_id]), one.policy.name),
            one.whom,
            cells.badge("enabled", "good") if one.policy.is_enabled else cells.badge("disabled", "bad"),
        )
        for one in found.order_by("policy__name", "pk")[:MOST_LISTED]
    ]
    table = cells.table(("Policy", "For", "State"), rows) if rows else ""
    link = reverse("admin:policies_datapolicy_changelist")
    return Listing("Data policies", table, link, "None: its calls go wherever its models are.")


@panel_of(Model)
@panel_of(Key)
def _cache(request: HttpRequest, row: Any) -> Panel | None:
    if not request.user.has_perm("policies.view_cachepolicy"):
        return None
    name = "model" if isinstance(row, Model) else "key"
    found = CachePolicy.objects.filter(**{name: row}).first()
    if found is None:
        if not request.user.has_perm("policies.add_cachepolicy"):
            return None
        return Panel("Cache", "none", "Keep answers", f"{reverse('admin:policies_cachepolicy_add')}?{name}={row.pk}")
    link = reverse("admin:policies_cachepolicy_change", args=[found.pk])
    return Panel("Cache", lasting(found.ttl_seconds) if found.is_enabled else "off", "Answers are kept so long", link)
