"""What has been spent, on the pages of those who spent it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import reverse

from apps.accounts.models import User
from apps.audit import cells
from apps.audit.panels import Listing, Panel, listing_of, panel_of
from apps.catalog.models import PinnedEndpoint
from apps.domain import money
from apps.keys.models import Key
from apps.policies.models import Intervention
from apps.tenants.models import Project, Tenant
from apps.usage import refusals, selectors
from apps.usage.models import Entry

DAYS = 30
MOST_LISTED = 8
A_DAY = timedelta(days=1)


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


@listing_of(Tenant, Project, User, Key, PinnedEndpoint)
def last_calls(request: HttpRequest, row: Any) -> Listing | None:
    """Along an index of the subject."""
    if not request.user.has_perm("usage.view_entry"):
        return None
    scope = "pinned" if isinstance(row, PinnedEndpoint) else row._meta.model_name
    rows = [
        (
            cells.link(reverse("admin:usage_entry_change", args=[entry.pk]), cells.ago(entry.started_at)),
            outcome(entry),
            entry.model_name,
            cells.amount("unpriced" if entry.is_unpriced else money.text(entry.cost_nano)),
        )
        for entry in selectors.latest(MOST_LISTED, **{f"{scope}_id": row.pk})
    ]
    table = cells.table(("When", "Outcome", "Model", "Cost"), rows) if rows else ""
    link = f"{reverse('admin:usage_entry_changelist')}?since=all&{scope}__id__exact={row.pk}"
    return Listing("Last calls", table, link, "None yet.")


@listing_of(Tenant, Key)
def refused(request: HttpRequest, row: Any) -> Listing | None:
    """By reason, as members see it. One query, along an index of the subject."""
    if not request.user.has_perm("usage.view_refusal"):
        return None
    scope = row._meta.model_name
    rows = [
        (group.reason.label, cells.number(group.times), cells.number(group.keys), cells.ago(group.last))
        for group in refusals.by_reason(datetime.now(UTC) - A_DAY, **{f"{scope}_id": row.pk})
    ]
    table = cells.table(("Reason", "Times", "Keys", "Last"), rows) if rows else ""
    link = f"{reverse('admin:usage_refusal_changelist')}?since=24h&{scope}__id__exact={row.pk}"
    return Listing("Refused calls, 24 hours", table, link, "None.")


def outcome(entry: Entry) -> str:
    is_good = entry.status in ("ok", "client_gone")
    return cells.badge(entry.get_status_display(), "good" if is_good else "bad")


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
