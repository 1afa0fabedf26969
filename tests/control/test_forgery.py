"""What a page of another site can have a visitor's browser do: nothing. Neither by a form, whatever it says of where it
comes from, nor by a link, nor by signing them in as somebody else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client
from django.test.client import ClientHandler

from apps.accounts.models import User
from apps.audit.models import Area, Record
from apps.keys.models import DeviceCode
from tests import factories
from tests.control.test_every_url import METHODS, NO_COOKIES, TABLE, addresses, url

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.attack("F29")]

ELSEWHERE = "https://elsewhere.example"
# What a browser says of where a form is from, over TLS, beside the right tokens.
FROM = {
    "another origin": {"origin": ELSEWHERE},
    "an origin that is hidden": {"origin": "null"},
    "a name that begins alike": {"origin": "https://testserver.elsewhere.example"},
    "the same host without TLS": {"origin": "http://testserver"},
    "another site's page": {"referer": f"{ELSEWHERE}/testserver/"},
    "a page that is hidden": {},
}
# The number of looks; and a second factor that is offered, until somebody proves that they have it.
NOTED = {"audit.Revision", "signin.SecondFactor", "catalog.DataKey"}
# Where a browser's token and cookie are fine, and the page as well.
AT_HOME = {"origin": "https://testserver", "referer": "https://testserver/account/"}
LOOKING = ("OPTIONS", "TRACE")  # as GET: what they come to is below, and that nothing is changed by them
PASSWORD = "a long and winding password"


def forms() -> Iterator[Any]:
    """Every address that takes something from a browser with its cookies."""
    return (address for address in addresses() if address.pattern not in NO_COOKIES)


def strict(user: User | None = None) -> Client:
    """A browser with cookies and the token against forgery."""
    client = Client(enforce_csrf_checks=True)
    client.handler = ClientHandler(enforce_csrf_checks=True)
    if user is not None:
        client.force_login(user)
    client.cookies["csrftoken"] = _get_new_csrf_string()
    return client


def sent(client: Client, place: str, said: dict[str, str], values: dict[str, str] | None = None) -> Any:
    token = client.cookies["csrftoken"].value
    headers = {"x-csrftoken": token, **said}
    return client.post(place, {"csrfmiddlewaretoken": token, **(values or {})}, headers=headers, secure=True)


def counted() -> dict[Any, int]:
    return {model: model._base_manager.count() for model in apps.get_models() if model is not DeviceCode}


def test_no_form_of_another_site_is_taken_though_its_tokens_are_right(rows, operator, figure):
    """Each address by one of the ways there are, and those that are nobody's own by all."""
    client, before, done, tried = strict(operator), counted(), [], 0
    turns = itertools.cycle(FROM.items())
    for address in forms():
        for how, said in FROM.items() if address.pattern in TABLE else [next(turns)]:
            tried += 1
            answer = sent(client, url(address, rows), said)
            if answer.status_code not in (403, 405):
                done.append((how, address.pattern, answer.status_code))
    assert done == []
    assert counted() == before
    figure("F29", "forms from elsewhere with the right tokens", tried, least=500)


def test_a_form_of_ones_own_is_taken(operator):
    """Else nothing of the above would say anything."""
    client = strict(operator)
    for said in (AT_HOME, {"origin": "https://testserver"}, {"referer": AT_HOME["referer"]}):
        assert sent(client, "/account/sign-out-everywhere/", said).status_code == 302
        client.force_login(operator)


def test_no_other_method_does_what_a_form_may_not(rows, operator, figure):
    client, before, done, tried = strict(operator), counted(), [], 0
    methods = itertools.cycle([*METHODS[1:], "OPTIONS", "TRACE", "QUERY"])
    for address in forms():
        tried += 1
        method = next(methods)
        answer = client.generic(method, url(address, rows), b"{}", content_type="application/json")
        if answer.status_code not in (403, 404, 405) and method not in LOOKING:
            done.append((method, address.pattern, answer.status_code))
    assert done == []
    assert counted() == before
    figure("F29", "addresses asked by another method without a token", tried, least=500)


def test_no_link_does_anything(rows, operator, acme, figure):
    """A browser sends its cookies with a link from anywhere: what is asked for so is shown, and no more. That somebody
    has looked is recorded."""
    noted = Record.objects.exclude(area=Area.READS)
    client = strict(operator)
    before, records, opened, framed = counted(), noted.count(), 0, []
    for address in addresses():
        answer = client.get(url(address, rows), headers={"referer": ELSEWHERE, "origin": ELSEWHERE})
        opened += answer.status_code == 200
        if "text/html" in answer.get("Content-Type", "") and (
            answer.get("X-Frame-Options") != "DENY" or "frame-ancestors 'none'" not in answer["Content-Security-Policy"]
        ):
            framed.append(address.pattern)
        if answer.streaming:
            b"".join(answer.streaming_content)
    after = counted()
    changed = {
        model._meta.label for model in before if model not in (Record, Session) and before[model] != after[model]
    }
    assert changed <= NOTED
    assert noted.count() == records
    assert framed == []
    figure("F29", "addresses that were linked to and have changed nothing", opened, least=300)


def test_nobody_is_signed_in_by_another_site(db):
    """Who is let in as somebody else works for them."""
    factories.user("mallory", password=PASSWORD)
    values = {"username": "mallory", "password": PASSWORD}
    client = strict()
    bare = Client(enforce_csrf_checks=True)
    for place in ("/sign-in/", "/admin/login/"):
        assert bare.post(place, values).status_code in (302, 403, 405), "there is no other door"
        assert bare.post(place, values, secure=True, headers={"origin": ELSEWHERE}).status_code in (302, 403, 405)
        for said in FROM.values():
            sent(client, place, said, values)
    for browser in (client, bare):
        assert "sessionid" not in browser.cookies
        assert browser.get("/account/").status_code == 302
    assert sent(client, "/sign-in/", AT_HOME, values).status_code == 302
    assert client.get("/account/", secure=True).status_code == 200


@pytest.mark.parametrize("place", ["/sign-out/", "/admin/logout/"])
def test_nobody_is_signed_out_by_a_link_or_a_form(place, operator):
    client = strict(operator)
    for answer in (
        client.get(place),
        client.head(place),
        client.post(place),
        sent(client, place, FROM["another origin"]),
    ):
        assert answer.status_code in (302, 403, 405)
    assert client.get("/account/").status_code == 200
    assert sent(client, "/sign-out/", AT_HOME).status_code == 302
    assert client.get("/account/").status_code == 302


def test_a_token_in_a_cookie_is_worth_nothing_without_the_one_of_the_page(operator):
    """Somebody who can plant a cookie, from a neighbour's host, say, cannot read the page's token; and theirs does not
    fit."""
    client = strict(operator)
    for token in ("", "x", "a" * 32, "a" * 64, client.session.session_key):
        answer = client.post(
            "/account/sign-out-everywhere/", {"csrfmiddlewaretoken": token}, secure=True, headers=AT_HOME
        )
        assert answer.status_code == 403
    assert client.get("/account/").status_code == 200
