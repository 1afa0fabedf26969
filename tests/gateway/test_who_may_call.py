"""Every path of the data plane, for everybody who could knock. A path without a row here fails.

Rows say what a key of Acme's, one of another tenant's and one that is confined to another model come to with an empty
body or none; all others are told 401, but where a path is for anybody.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from apps.access import services as access
from apps.catalog import services as catalog
from apps.catalog.models import Model
from apps.gateway import routes
from apps.status import probes
from apps.tenants import services as tenants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F27")]

KEYS = ("key", "another's", "confined")
OTHERS = ("nobody", "junk", "expired", "revoked", "token", "operator's token", "cookie")
ASKED = "400 400 400"  # they may: there is nothing in the body
TABLE = {
    "POST /v1/messages": ASKED,
    "POST /anthropic/v1/messages": ASKED,
    "POST /v1/messages/count_tokens": ASKED,
    "POST /anthropic/v1/messages/count_tokens": ASKED,
    "POST /v1/chat/completions": ASKED,
    "POST /v1/completions": ASKED,
    "POST /v1/responses": ASKED,
    "POST /v1/embeddings": ASKED,
    "POST /chat": ASKED,
    "POST /v1/explain": ASKED,
    "GET /v1/models": "200 200 200",
    "GET /anthropic/v1/models": "200 200 200",
    "GET /v1/models/claude-test": "200 200 404",
    "GET /anthropic/v1/models/claude-test": "200 200 404",
    "GET /managed/settings": "404 404 404",
    "POST /v1/metrics": "200 200 200",
    "POST /v1/logs": "200 200 200",
    "POST /v1/traces": "200 200 200",
}
# To look whether there is somebody, and how they fare.
FOR_ANYBODY = {
    "GET /api/hello",
    "HEAD /api/hello",
    "GET /",
    "HEAD /",
    "HEAD /v1",
    "HEAD /anthropic",
    "HEAD /anthropic/v1",
}
PROBES = ("/health", "/health/live", "/health/ready", "/actuator/health", "/actuator/health/liveness")
PROBES += ("/actuator/health/readiness",)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WAYS_IN = ("", "/e/sonnet")  # the installation's own, and one that is pinned


@pytest.fixture
def presented(world) -> dict[str, dict[str, str]]:
    """Headers by role."""
    other = tenants.create_tenant(actor=world.alice, name="Globex")
    browser = Client()
    browser.force_login(world.alice)
    key = world.key
    given = {
        "key": key,
        "another's": world.issue_for(other),
        "confined": world.issue(models=["gpt-test"]),
        "nobody": "",
        "junk": f"{key[:-1]}{'0' if key[-1] != '0' else '1'}",
        "expired": world.expired_key(),
        "revoked": world.revoked_key(),
        "token": access.issue(world.alice, name="all", scope="write").plaintext,
        "operator's token": settings.WEIR_OPERATOR_TOKEN,
    }
    found = {role: {"authorization": f"Bearer {text}"} if text else {} for role, text in given.items()}
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    return found | {"cookie": {"cookie": cookie}}


@pytest.fixture
def asked(gateway, presented):
    catalog.create_endpoint(actor=None, name="sonnet", model=Model.objects.get(name="claude-test"))
    gateway.refresh()

    def ask(role: str, route: str, way: str = "") -> Any:
        method, path = route.split(" ")
        headers = {**presented[role], "accept": "*/*", "content-type": "application/json"}
        return gateway.client.request(method, way + path, headers=headers, content=b"{}" if method == "POST" else b"")

    return ask


def test_every_path_has_a_row():
    below = {f"{parent}/claude-test": {"GET": None} for parent in routes.BELOW}
    there = {f"{method} {path}" for path, methods in {**routes.ROUTES, **below}.items() for method in methods}
    assert there == TABLE.keys()
    told = {f"{method} {path}" for path in (*routes.BASES, routes.HELLO, "/") for method in ("GET", "HEAD") if path}
    assert {route for route in told if routes.is_knock(_scope(route))} == FOR_ANYBODY
    assert len(probes.urlpatterns) == 2
    assert all(any(each.pattern.match(path[1:]) for each in probes.urlpatterns) for path in PROBES)


def _scope(route: str) -> dict[str, Any]:
    method, path = route.split(" ")
    return {"type": "http", "method": method, "path": path, "headers": []}


def test_who_may(asked, figure):
    found = {route: " ".join(str(asked(role, route).status_code) for role in KEYS) for route in TABLE}
    assert found == TABLE
    figure("F27", "routes of the data plane × roles", len(TABLE) * len(KEYS + OTHERS), least=180)


@pytest.mark.parametrize("way", WAYS_IN)
def test_whoever_has_no_key_learns_nothing(asked, way):
    """Nor by another method, which is told to be wrong, and no more."""
    let_in = []
    for route in TABLE:
        path = route.split(" ")[1]
        for role in OTHERS:
            answer = asked(role, route, way)
            if answer.status_code != 401:
                let_in.append((route, role, answer.status_code))
            assert "claude-test" not in answer.text or "claude-test" in path
        others = [f"{method} {path}" for method in METHODS if f"{method} {path}" not in TABLE]
        told = [(route, "cookie", asked("cookie", route, way).status_code) for route in others]
        let_in += [each for each in told if each[2] != 405]
    assert let_in == []


def test_what_is_for_anybody_says_the_same_to_all(asked):
    for route in sorted(FOR_ANYBODY):
        assert (
            len({(answer.status_code, answer.content) for answer in (asked(role, route) for role in KEYS + OTHERS)})
            == 1
        )
    for path in PROBES:
        told = {asked(role, f"GET {path}").status_code for role in KEYS + OTHERS}
        assert len(told) == 1, path
        assert all("Acme" not in asked(role, f"GET {path}").text for role in OTHERS)
