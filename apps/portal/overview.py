"""The first page: what the tenant, or whoever looks, has used and spent lately, and one next step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone

from apps.keys import selectors as keys
from apps.portal import refused
from apps.portal.visits import Visit, page
from apps.quotas import selectors as quotas
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right
from apps.usage import selectors as usage

LATEST = 8
BUDGETS = 4
SOON = timedelta(days=14)


@login_required
def home(request: HttpRequest) -> HttpResponseBase:
    """To the tenant's pages where there is one tenant; else a choice of them."""
    found = tenants.tenants_of(request.user)
    if len(found) == 1:
        return redirect("portal:overview", tenant=found[0].slug)
    if not found and request.user.is_staff:
        return redirect("admin:index")
    return render(request, "portal/choice.html", {"tenants": found, "is_full": len(found) >= tenants.MOST_SHOWN})


@page()
def overview(visit: Visit) -> HttpResponse:
    now = timezone.now()
    mine = {} if visit.may(Right.SEE_ALL_USAGE) else {"user_id": visit.user.pk}
    subject = {"tenant_id": visit.tenant.pk, **mine}
    turned_away = refused.today(visit, **refused.whose(visit))
    return visit.show(
        "portal/overview.html",
        is_mine=bool(mine),
        week=usage.spent(now, days=7, **subject),
        day=usage.spent(now, days=1, **subject),
        calls=usage.latest(LATEST, **subject),
        has_key=keys.has_key(visit.tenant, user=visit.user if mine else None),
        expiring=keys.expiring(visit.tenant, user=visit.user if mine else None, now=now, within=SOON),
        budgets=_budgets(visit, now),
        refused=turned_away,
        refused_times=sum(group.times for group in turned_away),
        may_call=visit.may(Right.CALL),
    )


def _budgets(visit: Visit, now: Any) -> list[dict[str, Any]]:
    """The fullest of those that the visitor may know of."""
    if not visit.may(Right.SEE_ALL_USAGE):
        return []
    found = quotas.most_used(now, BUDGETS, tenant_id=visit.tenant.pk)
    return [{"window": window, "subject": subject} for window, subject in found]
