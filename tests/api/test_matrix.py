"""Every route by every role. Bodies are empty and nobody says which version they have read: 422 and 428 mean that it
would have been done, had there been something to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from apps.api import urls
from tests.api.conftest import ROLES

pytestmark = [pytest.mark.once, pytest.mark.attack("F27")]

EVERYBODY = "200 200 200 200 200 200 200 401 200 401"
READ = "403 403 403 403 403 200 403 401 403 401"  # by operators
MAKE = "403 403 403 403 403 422 403 401 403 401"
CHANGE = "403 403 403 403 403 428 403 401 403 401"
DONE = READ
ASK = "403 403 403 403 403 422 403 401 403 401"  # nothing is changed
TABLE = {
    #                  owner adm dev vie str ope sta nob rea exp
    "GET /me": EVERYBODY,
    "GET /tokens": EVERYBODY,
    "POST /tokens": "422 422 422 422 422 422 422 401 403 401",
    "GET /tokens/{id}": "200 404 404 404 404 200 404 401 200 401",
    "POST /tokens/{id}/revoke": "200 404 404 404 404 200 404 401 403 401",
    "GET /users": READ,
    "POST /users": MAKE,
    "GET /users/{id}": READ,
    "PATCH /users/{id}": CHANGE,
    "GET /tenants": EVERYBODY,
    "POST /tenants": MAKE,
    "GET /tenants/{id}": "200 200 200 200 404 200 404 401 200 401",
    "PATCH /tenants/{id}": "428 403 403 403 404 428 404 401 403 401",
    "GET /projects": EVERYBODY,
    "POST /projects": "422 422 403 403 422 422 403 401 403 401",
    "GET /projects/{id}": "200 200 200 200 404 200 404 401 200 401",
    "PATCH /projects/{id}": "428 428 403 403 404 428 404 401 403 401",
    "GET /members": EVERYBODY,
    "POST /members": "422 422 403 403 422 422 403 401 403 401",
    "GET /members/{id}": "200 200 404 404 404 200 404 401 200 401",
    "PATCH /members/{id}": "428 403 404 404 404 428 404 401 403 401",
    "DELETE /members/{id}": "428 403 404 404 404 428 404 401 403 401",
    "GET /keys": EVERYBODY,
    "POST /keys": "422 422 422 403 422 422 403 401 403 401",
    "GET /keys/{id}": "200 200 404 404 404 200 404 401 200 401",
    "PATCH /keys/{id}": "428 428 404 404 404 428 404 401 403 401",
    "POST /keys/{id}/revoke": "200 200 404 404 404 200 404 401 403 401",
    "POST /keys/{id}/rotate": "200 200 404 404 404 200 404 401 403 401",
    "GET /identities": READ,
    "GET /identities/{id}": READ,
    "DELETE /identities/{id}": CHANGE,
    "GET /second-factors": READ,
    "GET /second-factors/{id}": READ,
    "DELETE /second-factors/{id}": CHANGE,
    "GET /identity-providers": READ,
    "POST /identity-providers": MAKE,
    "GET /identity-providers/{id}": READ,
    "PATCH /identity-providers/{id}": CHANGE,
    "DELETE /identity-providers/{id}": CHANGE,
    "GET /issuers": READ,
    "POST /issuers": MAKE,
    "GET /issuers/{id}": READ,
    "PATCH /issuers/{id}": CHANGE,
    "DELETE /issuers/{id}": CHANGE,
    "GET /programs": EVERYBODY,
    "GET /programs/{id}": "200 200 200 404 404 200 404 401 200 401",  # the developer's
    "POST /programs/{id}/end": "200 200 200 404 404 200 404 401 403 401",
    "GET /managed-settings": READ,
    "POST /managed-settings": MAKE,
    "GET /managed-settings/{id}": READ,
    "PATCH /managed-settings/{id}": CHANGE,
    "DELETE /managed-settings/{id}": CHANGE,
    "GET /limits": EVERYBODY,
    "POST /limits": "422 422 422 403 422 422 403 401 403 401",
    "GET /limits/{id}": "200 200 404 200 404 200 404 401 200 401",
    "PATCH /limits/{id}": "428 428 404 403 404 428 404 401 403 401",
    "DELETE /limits/{id}": "428 428 404 403 404 428 404 401 403 401",
    "GET /budgets": EVERYBODY,
    "POST /budgets": "422 422 422 403 422 422 403 401 403 401",
    "GET /budgets/{id}": "200 200 200 200 404 200 404 401 200 401",
    "PATCH /budgets/{id}": "403 403 403 403 404 428 404 401 403 401",  # the tenant's own
    "GET /budget-periods": EVERYBODY,
    "GET /budget-periods/{id}": "200 200 200 200 404 200 404 401 200 401",
    "GET /increases": EVERYBODY,
    "POST /increases": "422 422 422 422 422 422 422 401 403 401",
    "GET /increases/{id}": "200 200 404 404 404 200 404 401 200 401",
    "POST /increases/{id}/approve": "403 403 404 404 404 200 404 401 403 401",  # of the tenant's own budget
    "POST /increases/{id}/decline": "403 403 404 404 404 200 404 401 403 401",
    "POST /increases/{id}/end": "403 403 404 404 404 200 404 401 403 401",
    "GET /alert-rules": EVERYBODY,
    "POST /alert-rules": "422 422 403 422 422 422 403 401 403 401",
    "GET /alert-rules/{id}": "200 200 404 200 404 200 404 401 200 401",
    "PATCH /alert-rules/{id}": "428 428 404 428 404 428 404 401 403 401",
    "DELETE /alert-rules/{id}": "428 428 404 428 404 428 404 401 403 401",
    "GET /alert-destinations": EVERYBODY,
    "POST /alert-destinations": "422 422 403 422 422 422 403 401 403 401",
    "GET /alert-destinations/{id}": "200 200 404 200 404 200 404 401 200 401",
    "PATCH /alert-destinations/{id}": "428 428 404 428 404 428 404 401 403 401",
    "DELETE /alert-destinations/{id}": "428 428 404 428 404 428 404 401 403 401",
    "POST /alert-destinations/{id}/rotate": "200 200 404 200 404 200 404 401 403 401",
    "POST /alert-destinations/{id}/test": "200 200 404 200 404 200 404 401 403 401",
    "GET /alerts": EVERYBODY,
    "GET /alerts/{id}": "200 200 404 200 404 200 404 401 200 401",
    "GET /sinks": READ,
    "POST /sinks": MAKE,
    "GET /sinks/{id}": READ,
    "PATCH /sinks/{id}": CHANGE,
    "DELETE /sinks/{id}": CHANGE,
    "POST /sinks/{id}/rotate": DONE,
    "POST /sinks/{id}/test": DONE,
    "POST /sinks/{id}/replay": MAKE,
    "GET /undelivered-events": READ,
    "GET /undelivered-events/{id}": READ,
    "DELETE /undelivered-events/{id}": CHANGE,
    "POST /undelivered-events/{id}/send-again": DONE,
    "GET /providers": READ,
    "POST /providers": MAKE,
    "GET /providers/{id}": READ,
    "PATCH /providers/{id}": CHANGE,
    "DELETE /providers/{id}": CHANGE,
    "POST /providers/{id}/check": DONE,
    "POST /providers/{id}/test": DONE,
    "GET /credentials": READ,
    "POST /credentials": MAKE,
    "GET /credentials/{id}": READ,
    "PATCH /credentials/{id}": CHANGE,
    "DELETE /credentials/{id}": CHANGE,
    "GET /models": READ,
    "POST /models": MAKE,
    "GET /models/{id}": READ,
    "PATCH /models/{id}": CHANGE,
    "DELETE /models/{id}": CHANGE,
    "GET /deployments": READ,
    "POST /deployments": MAKE,
    "GET /deployments/{id}": READ,
    "PATCH /deployments/{id}": CHANGE,
    "POST /deployments/{id}/reset-breaker": DONE,
    "GET /fallbacks": READ,
    "POST /fallbacks": MAKE,
    "GET /fallbacks/{id}": READ,
    "PATCH /fallbacks/{id}": CHANGE,
    "DELETE /fallbacks/{id}": CHANGE,
    "GET /prices": READ,
    "POST /prices": MAKE,
    "GET /prices/{id}": READ,
    "DELETE /prices/{id}": CHANGE,
    "GET /endpoints": READ,
    "POST /endpoints": MAKE,
    "GET /endpoints/{id}": READ,
    "PATCH /endpoints/{id}": CHANGE,
    "GET /networks": READ,
    "POST /networks": MAKE,
    "GET /networks/{id}": READ,
    "DELETE /networks/{id}": CHANGE,
    "GET /data-policies": READ,
    "POST /data-policies": MAKE,
    "GET /data-policies/{id}": READ,
    "PATCH /data-policies/{id}": CHANGE,
    "DELETE /data-policies/{id}": CHANGE,
    "GET /policy-assignments": READ,
    "POST /policy-assignments": MAKE,
    "GET /policy-assignments/{id}": READ,
    "DELETE /policy-assignments/{id}": CHANGE,
    "GET /cache-policies": READ,
    "POST /cache-policies": MAKE,
    "GET /cache-policies/{id}": READ,
    "PATCH /cache-policies/{id}": CHANGE,
    "DELETE /cache-policies/{id}": CHANGE,
    "POST /cache-policies/{id}/forget": DONE,
    "POST /policy-trial": ASK,
    "GET /interventions": READ,
    "GET /interventions/{id}": READ,
    "GET /usage/entries": EVERYBODY,
    "GET /usage/entries/{id}": "200 200 404 200 404 200 404 401 200 401",
    "GET /usage/rollups": EVERYBODY,
    "GET /usage/refusals": EVERYBODY,
    "GET /usage/costs": EVERYBODY,
    "GET /usage/unconfirmed": READ,
    "GET /usage/unconfirmed/{id}": READ,
    "POST /usage/unconfirmed/{id}/resolve": MAKE,
    "GET /usage/charges": "200 200 403 200 400 200 400 401 200 401",
    "POST /what-if/price": ASK,
    "POST /what-if/budget": ASK,
    "GET /replicas": READ,
    "GET /replicas/{id}": READ,
    "GET /schedules": READ,
    "POST /schedules": MAKE,
    "GET /schedules/{id}": READ,
    "PATCH /schedules/{id}": CHANGE,
    "DELETE /schedules/{id}": CHANGE,
    "POST /schedules/{id}/run": DONE,
    "GET /config": READ,
    "POST /config/bring-in": MAKE,
    "GET /usage/verifications": READ,
    "GET /usage/verifications/{id}": READ,
    "GET /usage/gaps": READ,
    "GET /usage/gaps/{id}": READ,
    "GET /usage/sealed-months": READ,
    "GET /usage/sealed-months/{id}": READ,
    "GET /report-sources": READ,
    "POST /report-sources": MAKE,
    "GET /report-sources/{id}": READ,
    "PATCH /report-sources/{id}": CHANGE,
    "DELETE /report-sources/{id}": CHANGE,
    "GET /provider-names": READ,
    "POST /provider-names": MAKE,
    "GET /provider-names/{id}": READ,
    "PATCH /provider-names/{id}": CHANGE,
    "DELETE /provider-names/{id}": CHANGE,
    "GET /provider-reports": READ,
    "POST /provider-reports": MAKE,
    "GET /provider-reports/{id}": READ,
    "POST /provider-reports/fetch": MAKE,
    "POST /provider-reports/{id}/compare": DONE,
    "POST /provider-reports/{id}/withdraw": DONE,
    "POST /provider-reports/{id}/post": MAKE,
    "GET /report-differences": READ,
    "GET /report-differences/{id}": READ,
    "GET /adjustments": READ,
    "GET /adjustments/{id}": READ,
    "POST /adjustments/{id}/take-back": DONE,
    "GET /audit": EVERYBODY,
    "GET /audit/{id}": "404 404 404 404 404 200 404 401 404 401",  # of no tenant
    "POST /explain": "422 422 422 422 422 422 422 401 422 401",
    "GET /health": READ,
}
BODIES: dict[str, Any] = {"/test": {"steps": []}}
QUERIES = {"usage/charges": "?tenant={tenant}&day=2026-01-31"}


def routes() -> Iterator[tuple[str, str, str]]:
    """Method, place, and what follows the id; "-" where there is none."""
    for pattern in urls.router.urls:
        place, _, rest = pattern.pattern.regex.pattern[1:-1].partition("/(?P<pk>")
        for method in pattern.callback.actions:
            if method != "head":
                yield method.upper(), place, rest.rpartition(")")[2] if rest else "-"


def shown(method: str, place: str, tail: str) -> str:
    return f"{method} /{place}" if tail == "-" else f"{method} /{place}/{{id}}{tail}"


def test_every_route_has_a_row_and_every_row_a_route(figure):
    assert {shown(*route) for route in routes()} == set(TABLE)
    figure("F27", "routes of the management API × roles", len(TABLE) * len(ROLES), least=1_900)


@pytest.mark.parametrize("route", list(routes()), ids=lambda route: shown(*route))
def test_who_may(world, route):
    method, place, tail = route
    path = f"/{place}" if tail == "-" else f"/{place}/{world.ids[place]}{tail}"
    path += QUERIES.get(place, "").format(tenant=world.acme.pk)
    body = BODIES.get(tail, {} if method == "POST" and tail in ("-", "/resolve") else None)
    found = []
    for role in ROLES:
        point = transaction.savepoint()
        found.append(str(world.callers[role](method, path, body).status_code))
        transaction.savepoint_rollback(point)
    assert dict(zip(ROLES, found, strict=True)) == dict(zip(ROLES, TABLE[shown(*route)].split(), strict=True))


@pytest.mark.parametrize("view", [view for view in urls.VIEWS if hasattr(view, "list")], ids=lambda view: view.place)
def test_a_stranger_sees_nothing_of_acme_in_any_list(world, view):
    query = QUERIES.get(view.place, "").format(tenant=world.acme.pk)
    answer = world.stranger("GET", f"/{view.place}{query}")
    assert answer.status_code in ((400,) if query else (200, 403))
    if answer.status_code == 200:
        assert b"Acme" not in answer.content
        mine = [item for item in answer.json().get("items", []) if item.get("tenant") == world.acme.pk]
        assert mine == []


def test_a_permission_without_the_admin_s_door_opens_nothing(world):
    """As in the admin: who is no member of the staff may do nothing there, whatever their permissions."""
    from tests import factories
    from tests.api import caller

    person = factories.staff("catalog.view_model", "keys.view_key")
    program = caller.of(person)
    assert program.get("/models")["items"]
    assert program("POST", "/models", {}).status_code == 403
    type(person).objects.filter(pk=person.pk).update(is_staff=False)
    assert program("GET", "/models").status_code == 403
    assert program.get("/keys")["items"] == []
