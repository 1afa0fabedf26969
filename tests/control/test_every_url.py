"""Every address that Django answers, for everybody who could knock, and from another site.

The addresses are the resolver's. Those of the API have their rows in tests/api/test_matrix.py, those of a tenant's
pages in tests/portal/test_who_may.py; all others have theirs here, and one without a row fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.test import Client
from django.test.client import ClientHandler
from django.urls import URLResolver, get_resolver

from apps.catalog.models import Deployment
from apps.keys.models import DeviceCode
from apps.portal import sockets
from apps.quotas.models import Budget
from apps.tenants.models import Role, Tenant
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F27")]
ROLES = ("owner", "admin", "developer", "viewer", "stranger", "operator", "nobody")
ALL = "200 200 200 200 200 200 200"
TABLE = {
    #                                own adm dev vie str ope nob
    "": "302 302 302 302 302 200 302",
    "health/detailed": "403 403 403 403 403 200 401",  # or 503: where no worker was heard
    "providers": "403 403 403 403 403 200 401",
    "config": "403 403 403 403 403 200 401",
    "settings": "403 403 403 403 403 200 401",
    "redis-test": "403 403 403 403 403 200 401",
    "metrics": "403 403 403 403 403 200 401",
    ".well-known/oauth-authorization-server": ALL,
    "protocol": ALL,
    "oauth/device_authorization": "405 405 405 405 405 405 405",
    "oauth/token": "405 405 405 405 405 405 405",
    "oauth/revoke": "405 405 405 405 405 405 405",
    "device/": "200 200 200 200 200 200 302",
    "sign-in/": "302 302 302 302 302 302 200",
    "sign-in/code/": "302 302 302 302 302 302 302",
    "sign-in/with/<slug:provider>/": "404 404 404 404 404 404 404",
    "sign-in/with/<slug:provider>/back/": "404 404 404 404 404 404 404",
    "sign-in/with/<slug:provider>/logged-out/": "405 405 405 405 405 405 405",
    "sign-out/": "405 405 405 405 405 405 405",
    "account/": "200 200 200 200 200 200 302",
    "account/password/": "404 404 404 404 404 404 302",  # they have none
    "account/second-factor/": "200 200 200 200 200 200 302",
    "account/second-factor/remove/": "404 404 404 404 404 404 302",
    "account/recovery-codes/": "404 404 404 404 404 404 302",
    "account/sign-out-everywhere/": "405 405 405 405 405 405 302",
    "account/connect/<slug:provider>/": "405 405 405 405 405 405 302",
    "account/identities/<int:identity>/disconnect/": "405 405 405 405 405 405 302",
    "invitations/<str:token>/": "404 404 404 404 404 404 404",
    "live/": "403 403 403 403 403 200 302",
    "live/who/": "403 403 403 403 403 200 302",
    "live/now/": "403 403 403 403 403 200 302",
    "api/v1/openapi.yaml": ALL,
    "api/v1/docs/": ALL,
    "api/v1/": "404 404 404 404 404 404 404",
    "^api(?:/|$)": "404 404 404 404 404 404 404",
}
OPENED = ("changelist", "add", "change", "history", "delete")  # by operators in test_admin_pages.py
OPEN = ("admin:login", "admin:logout")
METHODS = ("POST", "PUT", "PATCH", "DELETE")
NO_UUID = "00000000-0000-7000-8000-000000000000"
# Where no cookie is read, and nobody signed in; and where there is nothing.
LOGGED_OUT = "sign-in/with/<slug:provider>/logged-out/"  # told by providers, who sign what they say
NO_COOKIES = ("oauth/device_authorization", "oauth/token", "oauth/revoke", "^api(?:/|$)", "api/v1/", LOGGED_OUT)
SOCKETS = {"t/[-\\w]+/live/feed/": "live-who", "live/feed/": "live/who/"}  # who may is what these pages say


class Address(NamedTuple):
    pattern: str
    name: str
    callback: Any


def addresses(resolver: Any = None, before: str = "", space: str = "") -> Iterator[Address]:
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, pattern, space + (f"{entry.namespace}:" if entry.namespace else ""))
        else:
            yield Address(pattern, space + (entry.name or ""), entry.callback)


def url(address: Address, rows: dict[Any, Any]) -> str:
    """One that fits, of a row where it is about one."""
    filled = address.pattern
    if match := re.match(r"admin/(\w+)/(\w+)/", filled):
        row = next((row for model, row in rows.items() if model._meta.label_lower == ".".join(match.groups())), None)
        filled = re.sub(r"<(path|int):object_id>|<id>", str(getattr(row, "pk", 1)), filled)
    filled = re.sub(r"<slug:tenant>", rows[Tenant].slug, filled)
    for name, model in (("deployment_id", Deployment), ("budget_id", Budget)):
        filled = re.sub(rf"<\w+:{name}>", str(getattr(rows.get(model), "pk", 1)), filled)
    filled = re.sub(r"<int:\w+>|<path:\w+>", "1", filled)
    filled = re.sub(r"<uuid:\w+>", NO_UUID, filled)
    filled = re.sub(r"\(\?P<pk>[^)]+\(\?:.+?\{12\}\)", NO_UUID, filled)
    filled = re.sub(r"\(\?P<pk>\[0-9\]\{1,19\}\)", "1", filled)
    filled = re.sub(r"\(\?P<app_label>(\w+).*?\)", r"\1", filled)
    filled = re.sub(r"\(\?P<url>.*?\)\$|\(\?:.*?\)", "no-such-thing", filled)
    filled = re.sub(r"<\w+:\w+>", "word", filled)
    return "/" + filled.replace("^", "").replace("$", "").replace("\\", "")


@pytest.fixture
def people(rows, operator, acme, globex):
    """The seven as browsers, Acme's being the tenant of all `rows`."""
    mine = rows[Tenant]
    found = {role: factories.member(mine, f"{role}-of-it", role) for role in Role.values}
    found |= {"stranger": factories.member(globex, "stranger", Role.OWNER), "operator": operator}
    handler = ClientHandler(enforce_csrf_checks=False)
    clients = {}
    for role in ROLES:
        clients[role] = Client()
        clients[role].handler = handler
        if role != "nobody":
            clients[role].force_login(found[role])
    return clients


def test_every_address_has_a_row(figure):
    from tests.api.test_matrix import routes
    from tests.portal.test_who_may import MAY

    in_api = {f"api/v1/^{place}" for _, place, _ in routes()}
    left = {
        address.pattern
        for address in addresses()
        if not address.pattern.startswith(("admin/", "t/<slug:tenant>/"))
        and not any(re.match(rf"{re.escape(place)}(\$|/\(\?P<pk>)", address.pattern) for place in in_api)
    }
    assert left == TABLE.keys()
    theirs = {address.name for address in addresses() if address.pattern.startswith("t/<slug:tenant>/")}
    assert theirs == {f"portal:{name}" for name in MAY}
    assert {pattern.pattern.regex.pattern.strip("^$") for pattern in sockets.urlpatterns} == SOCKETS.keys()
    assert all(page in MAY or page in TABLE for page in SOCKETS.values())
    inside = sum(address.pattern.startswith("admin/") for address in addresses())
    figure("F27", "pages of the admin, for staff alone", inside, least=350)
    figure("F27", "all other addresses, and sockets, × roles", (len(TABLE) + len(SOCKETS)) * len(ROLES), least=250)


def test_who_may(rows, people):
    found = {}
    for address in addresses():
        if address.pattern in TABLE:
            answers = [people[role].get(url(address, rows)) for role in ROLES]
            found[address.pattern] = " ".join(str(answer.status_code) for answer in answers)
    found["health/detailed"] = found["health/detailed"].replace("503", "200")
    assert found == TABLE


def test_nobody_but_the_staff_is_let_into_the_admin(rows, people):
    let_in = []
    others = [role for role in ROLES if role != "operator"]
    inside = [address for address in addresses() if address.pattern.startswith("admin/")]
    for number, address in enumerate(inside):
        is_usual = address.name.endswith(OPENED)  # Django's own: each of them asked for by one of the six
        for role in [others[number % len(others)]] if is_usual else others:
            answer = people[role].get(url(address, rows))
            is_kept_out = answer.status_code == 302 and answer["Location"].startswith("/admin/login/?next=")
            if not is_kept_out and address.name not in OPEN:
                let_in.append((address.pattern, role, answer.status_code, answer.get("Location")))
    assert let_in == []


def test_operators_may_open_every_page_of_the_admin(rows, people):
    found = {}
    for address in addresses():
        if address.pattern.startswith("admin/") and not address.name.endswith(OPENED):
            answer = people["operator"].get(url(address, rows))
            found[address.pattern] = answer.status_code
    assert {pattern for pattern, status in found.items() if status >= 500 or status == 403} == {"admin/autocomplete/"}


@pytest.mark.attack("F29")
def test_nothing_is_done_from_another_site(rows, people):
    """Whatever a form elsewhere sends with the cookies of an operator, to any address."""
    elsewhere = people["operator"]
    elsewhere.handler = ClientHandler(enforce_csrf_checks=True)
    before = {model: model._base_manager.count() for model in apps.get_models() if model is not DeviceCode}
    done = []
    for address in addresses():
        for method in METHODS if address.name.endswith("detail") or address.pattern in TABLE else METHODS[:1]:
            answer = elsewhere.generic(method, url(address, rows), b"{}", content_type="application/json")
            if answer.status_code not in (403, 405) and address.pattern not in NO_COOKIES:
                done.append((method, address.pattern, answer.status_code))
    assert done == []
    assert {model: model._base_manager.count() for model in before} == before
