"""Programs that people have signed in: the list, and the end of one. Developers see their own."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect

from apps.keys import grants
from apps.portal.paging import part
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right


@page()
def programs(visit: Visit) -> HttpResponse:
    found = part(visit.request, grants.seen_by(visit.user, visit.tenant))
    sees_all = visit.may(Right.MANAGE_KEYS)
    return visit.show("portal/programs.html", part=found, rows=found.rows, sees_all=sees_all)


@page("POST")
def end(visit: Visit, program: int) -> HttpResponse:
    grant = grants.seen_by(visit.user, visit.tenant).filter(pk=program).first()
    if grant is None:
        raise Http404("There is no such program.")
    grants.end(grant, actor=visit.user, why="ended by " + ("its person" if grant.user == visit.user else "an admin"))
    messages.success(visit.request, f"{grant} has ended: it is refused within two seconds.")
    return redirect(visit.url("programs"))
