"""What has been spent, on the pages of those who spent it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse

from apps.audit.panels import Panel, panel_of
from apps.catalog.models import PinnedEndpoint
from apps.domain import money
from apps.keys.models import Key
from apps.policies.models import Intervention
from apps.tenants.models import Project, Tenant
from apps.usage import selectors
from apps.usage.models import Entry

DAYS = 30


def _panel(request: HttpRequest, *, ledger: str, subject: dict[str, int]) -> Panel | None:
    if not request.user.has_perm("usage.view_entry"):
        return None
    totals = selectors.spent(datetime.now(UTC), days=DAYS, **subject)
    link = f"{reverse('admin:usage_entry_changelist')}?since=30d&{ledger}"
    return Panel(
        f"Spend, {DAYS} days", money.text(totals.cost), f"{totals.calls:,} call{pluralize(totals.calls)}", link
    )


@panel_of(Tenant)
def of_tenant(request: HttpRequest, row: Any) -> Panel | None:
    return _panel(request, ledger=f"tenant__id__exact={row.pk}", subject={"tenant_id": row.pk})


@panel_of(Project)
def of_project(request: HttpRequest, row: Any) -> Panel | None:
    subject = {"tenant_id": row.tenant_id, "project_id": row.pk}
    return _panel(request, ledger=f"project__id__exact={row.pk}", subject=subject)


@panel_of(Key)
def of_key(request: HttpRequest, row: Any) -> Panel | None:
    return _panel(request, ledger=f"key__id__exact={row.pk}", subject={"tenant_id": row.tenant_id, "key_id": row.pk})


@panel_of(PinnedEndpoint)
def of_endpoint(request: HttpRequest, row: Any) -> Panel | None:
    return _panel(request, ledger=f"pinned__id__exact={row.pk}", subject={"pinned_id": row.pk})


@panel_of(Entry)
def of_call(request: HttpRequest, row: Any) -> Panel | None:
    """What policies did to it."""
    if not request.user.has_perm("policies.view_intervention"):
        return None
    done = sorted(set(Intervention.objects.filter(request_id=row.request_id).values_list("action", flat=True)))
    if not done:
        return None
    link = f"{reverse('admin:policies_intervention_changelist')}?q=req_{row.request_id.hex}"
    return Panel("Policies", ", ".join(done), "did this to the call", link)
