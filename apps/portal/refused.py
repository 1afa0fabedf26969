"""Calls that were refused before anybody was asked: how often, why, what helps, and the newest of them. Whoever may not
see all usage sees their own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.utils import timezone

from apps.keys import selfservice
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage import refusals

SPANS = {"today": "Today", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
USUAL = "24h"
ROWS, LATEST = 100, 50
_LENGTHS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_LONGEST_ID = 18  # more digits are no row's


@page()
def refused(visit: Visit) -> HttpResponse:
    """`?span=` one of SPANS, `?key=` the id of a key."""
    asked = visit.request.GET
    span = asked.get("span", USUAL)
    span = span if span in SPANS else USUAL
    key = _key(visit, asked.get("key", ""))
    subject = whose(visit) | ({} if key is None else {"key_id": key.pk})
    since = _since(visit, span)
    reasons = refusals.by_reason(since, **subject)
    return visit.show(
        "portal/refused.html",
        span=span,
        spans=SPANS,
        key=key,
        reasons=reasons,
        total=sum(group.times for group in reasons),
        rows=refusals.by_key(since, most=ROWS, **subject) if reasons else [],
        most=ROWS,
        calls=refusals.latest(LATEST, since=since, **subject),
        sees_all=visit.may(Right.SEE_ALL_USAGE),
    )


def whose(visit: Visit) -> dict[str, int]:
    """The subject that the visitor may see refusals of."""
    mine = {} if visit.may(Right.SEE_ALL_USAGE) else {"user_id": visit.user.pk}
    return {"tenant_id": visit.tenant.pk, **mine}


def today(visit: Visit, **subject: int) -> list[refusals.Group]:
    """Since midnight of the tenant's time zone, by reason. One query."""
    return refusals.by_reason(_since(visit, "today"), **subject)


def _since(visit: Visit, span: str) -> datetime:
    now = timezone.now()
    if span == "today":
        there = now.astimezone(ZoneInfo(visit.tenant.timezone))
        return there.replace(hour=0, minute=0, second=0, microsecond=0)
    return now - _LENGTHS[span]


def _key(visit: Visit, given: str) -> Any:
    """Raises Http404 for one that the visitor does not see."""
    if not (given.isdecimal() and len(given) <= _LONGEST_ID):
        return None
    row = selfservice.keys_of(visit.user, visit.tenant).filter(pk=int(given)).first()
    if row is None:
        raise Http404("There is no such key.")
    return row
