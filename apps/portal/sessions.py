"""What sessions of coding agents cost, by what their programs say of themselves: the list, and the agents of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpResponse
from django.utils import timezone

from apps.portal.visits import Visit, page
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right
from apps.usage import sessions as selectors

MOST_LETTERS = 64


@page()
def sessions(visit: Visit) -> HttpResponse:
    """`?before=`: where the page before ended."""
    given = visit.request.GET.get("before", "")
    found = selectors.newest(timezone.now(), before=_place(given) if given else None, **_whose(visit))
    people = tenants.users_among(visit.tenant, {row.user_id for row in found.sessions if row.user_id is not None})
    return visit.show(
        "portal/sessions.html",
        rows=[{"session": row, "user": people.get(row.user_id)} for row in found.sessions],
        older=f"{visit.request.path}?{urlencode({'before': found.older})}" if found.older else "",
        newest=visit.request.path if given else "",
        sees_all=visit.may(Right.SEE_ALL_USAGE),
    )


@page()
def one(visit: Visit) -> HttpResponse:
    """`?id=`: what the program calls it."""
    name = visit.request.GET.get("id", "")
    found = selectors.agents(name, **_whose(visit)) if 0 < len(name) <= MOST_LETTERS and "\0" not in name else []
    if not found:
        raise Http404("There is no such session.")
    return visit.show("portal/session.html", name=name, agents=found, cost=sum(agent.figures.cost for agent in found))


def _whose(visit: Visit) -> dict[str, Any]:
    mine = {} if visit.may(Right.SEE_ALL_USAGE) else {"user_id": visit.user.pk}
    return {"tenant_id": visit.tenant.pk, **mine}


def _place(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404("There is no such page of the list.") from None
