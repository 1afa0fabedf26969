"""Live: calls as they happen. The page, who may look at what, and the same frame for who has no socket."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.portal import feed
from apps.portal.feed import Subject
from apps.portal.visits import Visit, page
from apps.runtime import walls
from apps.tenants.rights import Right

WHOLE = "usage.view_entry"


def _subject(visit: Visit) -> Subject:
    """Developers see their own calls only."""
    return Subject(visit.tenant.pk, None if visit.may(Right.SEE_ALL_USAGE) else visit.user.pk)


@page()
def live(visit: Visit) -> HttpResponse:
    return visit.show(
        "portal/live.html", is_mine=_subject(visit).user_id is not None, feed_url=f"{visit.url('live')}feed/"
    )


@page()
def who(visit: Visit) -> HttpResponse:
    return _told(visit.user, _subject(visit))


@page()
def now(visit: Visit) -> HttpResponse:
    return _frame(_subject(visit))


@require_safe
@login_required
def live_of_all(request: HttpRequest) -> HttpResponse:
    """For operators, and whoever else may read the whole ledger."""
    check_sees_all(request.user)
    return render(request, "portal/live_all.html", {"feed_url": f"{request.path}feed/"})


@require_safe
@login_required
def who_of_all(request: HttpRequest) -> HttpResponse:
    check_sees_all(request.user)
    return _told(request.user, Subject())


@require_safe
@login_required
def now_of_all(request: HttpRequest) -> HttpResponse:
    check_sees_all(request.user)
    with walls.as_installation():
        return _frame(Subject())


def check_sees_all(user: Any) -> None:
    """Raises PermissionDenied for whoever may not read the whole ledger."""
    if not (user.is_staff and user.has_perm(WHOLE)):
        raise PermissionDenied


def _told(user: Any, subject: Subject) -> HttpResponse:
    told = {"visitor": str(user.pk), "tenant": subject.tenant_id, "user": subject.user_id}
    return JsonResponse(told, headers={"Cache-Control": "no-store"})


def _frame(subject: Subject) -> HttpResponse:
    return HttpResponse(feed.frame(subject), content_type="application/json", headers={"Cache-Control": "no-store"})
