"""Every address that Django answers, for those to whom it is not meant to be open: whoever comes with a key, a token or
the operator's token in place of a cookie, and staff who may do nothing, or may only look.

Who else may what has a row in test_every_url.py, tests/api/test_matrix.py and tests/portal/test_who_may.py. What is
found here follows from one rule for each, so that a new address is judged by it too.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.test import Client

from apps.access import services as access
from apps.keys.models import DeviceCode
from apps.status import urls as for_operators
from apps.tenants.models import Role, Tenant
from tests import factories
from tests.control.desk import _handler
from tests.control.test_every_url import NO_COOKIES, OPEN, OPENED, Address, addresses, url

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F27")]

FOR_OPERATORS = {str(pattern.pattern) for pattern in for_operators.urlpatterns}
# What staff may open in the admin without any permission: what is theirs alone, and words for scripts.
STAFF = {"admin:index", "admin:jsi18n", "admin:autocomplete", "admin:search"}
STAFF |= {"admin:password_change", "admin:password_change_done"}
ELSEWHERE = re.compile(r"/admin/\w+/\w+/[^/]+/change/")  # where an address without its last word leads
PAGES = {"GET", "POST"}
IN = {"API key", "reader", "writer", "operator's token"}
TOKEN = re.compile(rb'(csrfmiddlewaretoken"? value=)"[^"]*"|[0-9a-f]{32}')


class Answer(NamedTuple):
    status: int
    to: str
    text: bytes


class Door:
    """Somebody who comes with `headers`, or signed in as `user`."""

    def __init__(self, user: Any = None, **headers: str) -> None:
        self.client = Client(raise_request_exception=False, headers=headers)
        self.client.handler = _handler(False)
        if user is not None:
            self.client.force_login(user)

    def __call__(self, method: str, place: str) -> Answer:
        found = self.client.generic(method, place, b"", content_type="application/x-www-form-urlencoded")
        text = b"".join(found.streaming_content) if found.streaming else found.content
        return Answer(found.status_code, found.get("Location", ""), TOKEN.sub(b"", text))


@pytest.fixture
def doors(rows, operator) -> dict[str, Door]:
    mine = rows[Tenant]
    owner = factories.member(mine, "owner-of-it", Role.OWNER)
    issued = factories.key(mine.projects.first(), user=owner).plaintext
    view = [f"{model._meta.app_label}.view_{model._meta.model_name}" for model in _models()]
    tokens = {scope: access.issue(operator, name=scope, scope=scope).plaintext for scope in ("read", "write")}
    return {
        "nobody": Door(),
        "API key": Door(authorization=f"Bearer {issued}", x_api_key=issued),
        "reader": Door(authorization=f"Bearer {tokens['read']}"),
        "writer": Door(authorization=f"Bearer {tokens['write']}"),
        "operator's token": Door(authorization=f"Bearer {settings.WEIR_OPERATOR_TOKEN}"),
        "staff": Door(factories.staff()),
        "looker": Door(factories.staff(*view)),
    }


def _models() -> list[Any]:
    return [model for model in admin.site._registry if "view" in model._meta.default_permissions]


def counted() -> dict[Any, int]:
    return {model: model._base_manager.count() for model in apps.get_models() if model is not DeviceCode}


def is_usual(address: Address) -> bool:
    return address.pattern.startswith("admin/") and address.name.endswith(OPENED)


def test_a_key_or_a_token_is_nobody_on_pages(rows, doors, figure):
    """Byte by byte what whoever has neither is told. Of Django's own pages in the admin each is asked for by one."""
    others, before, told, tried = sorted(IN), counted(), [], 0
    for number, address in enumerate(addresses()):
        if address.pattern.startswith("api/v1/") or address.pattern in FOR_OPERATORS | {*NO_COOKIES}:
            continue
        place = url(address, rows)
        for method in PAGES:
            nobody = doors["nobody"](method, place)
            for who in [others[number % len(others)]] if is_usual(address) else others:
                tried += 1
                if doors[who](method, place) != nobody:
                    told.append((who, method, address.pattern))
    assert told == []
    assert counted() == before
    figure("F27", "pages × ways in without a cookie", tried, least=1_000)


def test_pages_for_operators_are_theirs_whatever_is_presented(rows, doors):
    found = {}
    for pattern in FOR_OPERATORS:
        for who, door in doors.items():
            found[pattern, who] = door("GET", f"/{pattern}").status
            assert door("POST", f"/{pattern}").status in (401, 403, 405)
    for (pattern, who), status in found.items():
        meant = (200, 503) if who == "operator's token" else (403,) if who in ("staff", "looker") else (401,)
        assert status in meant, (pattern, who, status)


def test_the_api_is_closed_to_keys_and_to_the_operator_s_token(rows, doors, figure):
    tried = 0
    for address in addresses():
        if not address.pattern.startswith("api/v1/") or address.name.endswith(("description", "documentation")):
            continue
        if address.pattern == "api/v1/":
            continue
        methods = [method.upper() for method in getattr(address.callback, "actions", {}) if method != "head"]
        assert methods, address.pattern
        for who in ("API key", "operator's token", "nobody"):
            for method in methods:
                tried += 1
                answer = doors[who](method, url(address, rows))
                assert answer.status in (401, 429), (method, address.pattern, who, answer)
    figure("F27", "routes of the API × what is no token of it", tried, least=500)


@pytest.mark.parametrize("who", ["staff", "looker"])
def test_staff_find_the_tenants_pages_absent_and_do_nothing_in_the_admin(rows, doors, who, figure):
    door, before, wrong, tried = doors[who], counted(), [], 0
    seen: Counter[int] = Counter()
    for address in addresses():
        is_portal = address.pattern.startswith("t/<slug:tenant>/")
        is_admin = address.pattern.startswith("admin/")
        if not (is_portal or is_admin) or address.name in OPEN:
            continue
        for method in PAGES:
            if is_usual(address) and (who == "looker" or method == "GET"):
                continue  # tried with both in test_admin_permissions.py
            tried += 1
            status, to, _ = door(method, url(address, rows))
            seen[status] += 1
            if is_portal:
                is_fine = status in (404, 405)
            elif who == "staff":
                is_fine = status in (403, 404, 405) or (address.name in STAFF and status in (200, 302))
                is_fine |= status == 302 and ELSEWHERE.fullmatch(to) is not None
            else:
                is_fine = status < 500 and (method == "GET" or status in (200, 302, 403, 404, 405))
            if not is_fine:
                wrong.append((method, address.pattern, status))
    assert wrong == []
    assert counted() == before
    assert who == "staff" or seen[200] > 20, "who may look sees"
    figure("F27", f"pages × {who} (of no, or of every permission to look)", tried, least=200)
