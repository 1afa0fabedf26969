"""How deployments fare just now, on their list and pages, and the reset of what was learned of one."""

from __future__ import annotations

import math
import time
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.contrib.filters.admin import RadioFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.catalog import services
from apps.catalog.models import Deployment
from apps.runtime import standings
from apps.runtime.state import DeploymentStanding

_NOT_ASKED = "nobody has asked it of late"


class BreakerFilter(RadioFilter):
    """By what every gateway told of late, which no table holds."""

    title = "breaker"
    parameter_name = "breaker"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("half_open", "Half-open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> QuerySet[Deployment]:
        if not self.value():
            return queryset
        known = standings.by_deployment()
        return queryset.filter(pk__in=[pk for pk, found in known.items() if found.breaker == self.value()])


class Standing:
    """The part of the deployments' pages that tells of breakers and measures."""

    opts: Any

    def complete(self, rows: list[Any]) -> None:
        known = standings.by_deployment()
        for row in rows:
            row.standing = known.get(row.pk)

    @display(description="Breaker")
    def shown_breaker(self, row: Any) -> str:
        return breaker(row.standing) if row.standing is not None else cells.NOTHING

    @display(description="Measured")
    def shown_measures(self, row: Any) -> str:
        return cells.amount(measured(row.standing)) if row.standing is not None else cells.amount(cells.NOTHING)

    @display(description="Calls, queue")
    def shown_room(self, row: Any) -> str:
        waiting = row.standing.waiting if row.standing is not None else 0
        return cells.amount(room(row, row.standing) + (f" · {waiting} wait" if waiting else ""))

    @display(description="Just now")
    def shown_standing(self, deployment: Deployment) -> str:
        found = standings.by_deployment().get(deployment.pk)
        if found is None:
            return _NOT_ASKED
        rows = [
            ("Breaker", breaker(found)),
            ("Why it last opened", found.reason or cells.NOTHING),
            ("Time to first token", _figure(found.first_token, "{:.2f} s")),
            ("Tokens a second", _figure(found.tokens_per_second, "{:.0f}")),
            ("Success", _percent(found.success)),
            ("Calls at once", room(deployment, found)),
            ("In its queue", str(found.waiting)),
        ]
        return cells.table(("Of late", ""), rows)

    @to_many(
        "Reset the breaker of",
        does="What every gateway has learned of them is forgotten within a second, and they are asked again.",
        done="Breakers reset",
    )
    def reset_breakers(self, row: Deployment, *, actor: Any) -> None:
        services.reset_breaker(row, actor=actor)

    @action(description="Reset breaker", icon="restart_alt", permissions=["change"])
    def reset_breaker(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Resets on POST; a plain visit offers the button."""
        deployment = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if deployment is None:
            raise Http404
        if not self.has_change_permission(request, deployment):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST":
            services.reset_breaker(deployment, actor=request.user)
            messages.success(request, f"{deployment} is asked again within a second.")
            return HttpResponseRedirect(reverse("admin:catalog_deployment_change", args=[deployment.pk]))
        told = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": f"Reset the breaker of {deployment}",
            "deployment": deployment,
            "standing": self.shown_standing(deployment),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/catalog/reset_breaker.html", told)


def breaker(standing: DeploymentStanding) -> str:
    match standing.breaker:
        case "open":
            left = max(0, math.ceil((standing.until or 0.0) - time.time()))
            return cells.badge(f"open {left} s", "bad")
        case "half_open":
            return cells.badge("half-open", "warn")
    return cells.badge("closed", "good")


def room(deployment: Any, standing: DeploymentStanding | None) -> str:
    """Of what all gateways together may have. Where nothing limits them, nobody counts them; and where one has no call,
    it tells nothing of its share."""
    in_flight, most = (None, None) if standing is None else (standing.in_flight, standing.most)
    most = most if deployment.max_concurrency is None else deployment.max_concurrency
    if in_flight is None and most is None:
        return cells.NOTHING
    return f"{in_flight or 0}" if most is None else f"{in_flight or 0} of {most}"


def measured(standing: DeploymentStanding) -> str:
    told = (
        _figure(standing.first_token, "{:.2f} s"),
        _figure(standing.tokens_per_second, "{:.0f} t/s"),
        _percent(standing.success),
    )
    return " · ".join(told) if set(told) != {cells.NOTHING} else cells.NOTHING


def _figure(value: float | None, form: str) -> str:
    return cells.NOTHING if value is None else form.format(value)


def _percent(value: float | None) -> str:
    """Rounded down: what is not all is not 100 %."""
    return cells.NOTHING if value is None else f"{math.floor(value * 1000) / 10:g} %"
