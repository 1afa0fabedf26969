"""Who is looking at which tenant's page, and what they may do there. Every page of a tenant goes through `page`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.audit import services as audit
from apps.portal import navigation
from apps.runtime import walls
from apps.tenants import inventory
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right, may

READS = "weir_reads"
View = Callable[..., HttpResponseBase]


@dataclass(kw_only=True)
class Visit:
    """`role` is never None: whoever has none sees no page. `tenant` and `user` are rows."""

    request: HttpRequest
    user: Any
    tenant: Any
    role: Any

    @property
    def home(self) -> str:
        return self.url("overview")

    @functools.cached_property
    def others(self) -> list[Any]:
        """The tenants to choose from, if there is a choice. One query."""
        found = tenants.tenants_of(self.user)
        return found if len(found) > 1 else []

    def may(self, right: Right) -> bool:
        return may(self.role, right)

    def require(self, right: Right) -> None:
        """Raises PermissionDenied."""
        self.allow(self.may(right), f"Your role in {self.tenant} does not let you {right}.")

    @staticmethod
    def allow(is_allowed: bool, otherwise: str) -> None:
        """Raises PermissionDenied."""
        if not is_allowed:
            raise PermissionDenied(otherwise)

    def note_read(self, action: str) -> None:
        """Writes a privileged read into the tenant's audit log: once a day and session, not at every page."""
        today = f"{timezone.now():%Y-%m-%d}"
        noted: dict[str, str] = self.request.session.get(READS, {})
        name = f"{action} {self.tenant.pk}"
        if noted.get(name) == today:
            return
        audit.note_read(actor=self.user, action=action, target=self.tenant, tenant_id=self.tenant.pk)
        self.request.session[READS] = {**{key: day for key, day in noted.items() if day == today}, name: today}

    def url(self, name: str, **arguments: Any) -> str:
        """Of a page of this tenant: `visit.url("keys")`."""
        return reverse(f"portal:{name}", kwargs={"tenant": self.tenant.slug, **arguments})

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """The page, with the menu around it."""
        context |= {"visit": self, "tenant": self.tenant, "menu": navigation.menu(self)}
        return render(self.request, template, context, status=status)


def page(*methods: str, right: Right | None = None) -> Callable[[View], View]:
    """For views `(visit, **arguments)` under `/t/<tenant>/`. `methods`: GET and HEAD unless said otherwise. `right`:
    what its visitors need; None: membership alone.

    To whoever is no member the tenant does not exist: 404, as for one that nobody has.
    """

    def dress(view: View) -> View:
        @functools.wraps(view)
        def visited(request: HttpRequest, tenant: str, **arguments: Any) -> HttpResponseBase:
            visit = _visit(request, tenant)
            if right is not None:
                visit.require(right)
            return view(visit, **arguments)

        allowed = list(methods or ("GET", "HEAD"))
        return login_required(require_http_methods(allowed)(visited))

    return dress


def at_all_of_theirs(view: View) -> View:
    """For pages that are of no tenant and tell of all that the visitor is a member of."""

    @functools.wraps(view)
    def visited(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        user: Any = request.user
        if not user.is_superuser:
            walls.stand(person=user.pk, tenants=inventory.roles(user))
        return view(request, **arguments)

    return visited


def _visit(request: HttpRequest, slug: str) -> Visit:
    """One query. An operator who is no member looks at what is not theirs, and that is written down."""
    place = tenants.place_of(request.user, slug)
    if place is None:
        raise Http404("There is no such tenant.")
    if not request.user.is_superuser:
        walls.stand(person=request.user.pk, tenants=[place.tenant.pk])
    visit = Visit(request=request, user=request.user, tenant=place.tenant, role=place.role)
    if not place.is_member:
        visit.note_read("tenant.visited")
    return visit
