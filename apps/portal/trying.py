"""What the pages share that call a model from the browser: the playground and the quick start.

They call the data plane like any program, with a secret that is lent to them for minutes (`keys.lending`), and ask
here what the ledger says of the call.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpResponse, JsonResponse
from django.utils import timezone

from apps.catalog.answering import models_that_answer
from apps.catalog.keyrings.ring import KeyringUnavailable
from apps.domain import money
from apps.keys import lending
from apps.portal.visits import Visit, page
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right, may
from apps.usage import finding, receipts

MOST_NAMED = 3


def context(visit: Visit) -> dict[str, Any]:
    """For the pages' templates."""
    return {
        "models": models_that_answer(visit.tenant.pk),
        "projects": [row for row in tenants.projects_of(visit.tenant) if row.is_active],
        "is_member": lending.is_member(visit.user, visit.tenant),
        "raisers": raisers(visit),
        "budgets_url": visit.url("budgets"),
    }


def raisers(visit: Visit) -> str:
    """Who can raise a limit: the first few, by name."""
    found = [row.user for row in tenants.members_of(visit.tenant) if may(row.role, Right.MANAGE_BUDGETS)]
    names = [str(user) for user in found[:MOST_NAMED]]
    if not names:
        return "whoever runs this installation"
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


@page("POST", right=Right.CALL)
def lend(visit: Visit) -> HttpResponse:
    """The secret, and how long the page may use it: as JSON, kept by nobody."""
    wanted = visit.request.POST.get("project", "")
    projects = {str(row.pk): row for row in tenants.projects_of(visit.tenant)}
    project = projects.get(wanted)
    if project is None:
        return _answer({"error": "There is no such project."}, status=400)
    try:
        lent = lending.lend(member=visit.user, tenant=visit.tenant, project=project)
    except ValidationError as error:
        return _answer({"error": " ".join(error.messages)}, status=400)
    except KeyringUnavailable:
        return _answer({"error": "No key can be made just now; try again in a moment."}, status=503)
    return _answer({"key": lent.plaintext, "seconds": int((lent.until - timezone.now()).total_seconds())})


@page(right=Right.CALL)
def outcome(visit: Visit, call: str) -> HttpResponse:
    """What the ledger says of a call of the visitor's own; `{"known": false}` until it says something."""
    request = finding.request_of(call)
    found = None
    if request is not None:
        found = receipts.receipt(request, tenant_id=visit.tenant.pk, user_id=visit.user.pk)
    if found is None:
        return _answer({"known": False})
    told = {name: value for name, value in found._asdict().items() if name not in {"entry", "cost"}}
    cost = "unpriced" if found.is_unpriced else money.text(found.cost)
    link = visit.url("usage-call", entry=found.entry)
    return _answer({"known": True, "cost": cost, "link": link, **told})


def _answer(told: dict[str, Any], *, status: int = 200) -> HttpResponse:
    response = JsonResponse(told, status=status)
    response["Cache-Control"] = "no-store"
    return response
