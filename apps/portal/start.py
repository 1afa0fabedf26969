"""Quick start: lines to paste for one's program, and a first call."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse

from apps.keys import selectors as keys
from apps.portal import snippets, trying
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right


@page(right=Right.CALL)
def start(visit: Visit) -> HttpResponse:
    """`?model=`: what the lines are for; the first there is. No key is in them: it is shown once, when it is made,
    with the same lines."""
    told = trying.context(visit)
    names = [model.name for model in told["models"]]
    asked = visit.request.GET.get("model", "")
    model = asked if asked in names else next(iter(names), None)
    return visit.show(
        "portal/start.html",
        base_url=settings.WEIR_BASE_URL.rstrip("/"),
        model=model,
        tabs=snippets.tabs(model=model),
        has_key=keys.has_key(visit.tenant, user=visit.user),
        **told,
    )
