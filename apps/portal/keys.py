"""Keys: the list, and the page of one. Developers see their own, whoever manages keys sees all."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from apps.keys import selectors, selfservice
from apps.portal import refused
from apps.portal.paging import part
from apps.portal.visits import Visit, page
from apps.quotas import selectors as quotas
from apps.quotas import selfservice as restraints
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right
from apps.usage import selectors as usage

DAYS = 30
TONES = {"active": "good", "expires soon": "warn", "unused": "warn", "expired": "bad", "revoked": "bad"}


@page()
def keys(visit: Visit) -> HttpResponse:
    """`?state=`, `?project=`, `?q=`: see `selectors.in_state`; the beginning of a name or of a key."""
    now = timezone.now()
    asked = _asked(visit.request)
    found = part(visit.request, _chosen(visit, asked, now=now))
    spent = usage.spent_by_key(now, days=DAYS, keys=[key.pk for key in found.rows])
    return visit.show(
        "portal/keys.html",
        part=found,
        rows=[{"key": key, "spent": spent.get(key.pk, 0), **_state(key, now)} for key in found.rows],
        asked=asked,
        is_filtered=any(asked.values()),
        states=selectors.STATES,
        projects=tenants.projects_of(visit.tenant),
        days=DAYS,
        may_make=visit.may(Right.CALL),
        sees_all=visit.may(Right.MANAGE_KEYS),
    )


@page()
def one(visit: Visit, key: int) -> HttpResponse:
    now = timezone.now()
    row = wanted(visit, key)
    turned_away = refused.today(visit, key_id=row.pk)
    return visit.show(
        "portal/key.html",
        key=row,
        spent=usage.spent_by_key(now, days=DAYS, keys=[row.pk]).get(row.pk, 0),
        refused=turned_away,
        refused_times=sum(group.times for group in turned_away),
        days=DAYS,
        secrets=[{"secret": secret, "fate": _fate(secret, now)} for secret in selectors.secrets_of(row)],
        budgets=quotas.budgets_over(row, now),
        limits=quotas.limits_over(row),
        works=selectors.works(row, now=now),
        may_restrain=restraints.may_set(row, visit.user),
        may_make=visit.may(Right.CALL),
        **_state(row, now),
    )


def wanted(visit: Visit, key: int) -> Any:
    """The key, if the visitor may see it; else there is none."""
    found = selfservice.keys_of(visit.user, visit.tenant).select_related("tenant", "project", "user", "created_by")
    row = found.filter(pk=key).first()
    if row is None:
        raise Http404("There is no such key.")
    return row


def _asked(request: HttpRequest) -> dict[str, str]:
    given = {name: request.GET.get(name, "").strip()[:100] for name in ("state", "project", "q")}
    if given["state"] not in selectors.STATES:
        given["state"] = ""
    if not (given["project"].isdecimal() and len(given["project"]) < 18):
        given["project"] = ""
    return given


def _chosen(visit: Visit, asked: dict[str, str], *, now: Any) -> Any:
    rows = selfservice.keys_of(visit.user, visit.tenant).select_related("project", "user").order_by("-pk")
    rows = selectors.in_state(rows, asked["state"], now=now)
    if asked["project"]:
        rows = rows.filter(project=int(asked["project"]))
    if asked["q"]:
        rows = selectors.beginning_with(rows, asked["q"])
    return rows


def _state(key: Any, now: Any) -> dict[str, str]:
    word = selectors.state(key, now=now)
    return {"state": word, "tone": TONES[word]}


def _fate(secret: Any, now: Any) -> dict[str, Any]:
    """What became of a secret: a word, its tone, and when."""
    if secret.revoked_at is not None:
        return {"word": "ended", "tone": "soft", "at": secret.revoked_at}
    if secret.expires_at is not None and secret.expires_at <= now:
        return {"word": "ended", "tone": "soft", "at": secret.expires_at}
    if secret.expires_at is not None:
        return {"word": "works until", "tone": "warn", "at": secret.expires_at}
    return {"word": "works", "tone": "good", "at": None}
