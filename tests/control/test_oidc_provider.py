"""Signing in at a certified OpenID provider that is not ours: what it understands of us, and we of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from django.contrib import auth
from django.test import Client

from apps.signin import services as signin
from apps.tenants.models import Membership, Role
from tests import factories
from tests.control.door import open_loopback, reason
from tests.issuers import Page, issuing
from tests.oidc import provider as real

pytestmark = [pytest.mark.django_db, pytest.mark.once]
BACK = "/sign-in/with/example/back/"


TOLD = "/told"


@pytest.fixture(scope="module")
def ear() -> Iterator[Any]:
    """Hears who has left the provider."""
    with issuing() as server:
        yield server


@pytest.fixture(scope="module")
def issuer(ear: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = real.install(tmp_path_factory.mktemp("issuer"))
    with real.standing(folder, backs=[f"http://testserver{BACK}"], told=ear.url + TOLD) as url:
        yield url


def configured(issuer: str, client_id: str = "weir-RS256", **fields: Any) -> Any:
    open_loopback()
    secret = "" if client_id == "weir-public" else real.SECRET
    about = {"name": "Example", "slug": "example", "issuer": issuer, "client_id": client_id, "scopes": real.SCOPES}
    return signin.create_provider(actor=None, secret=secret, creates_people=True, **about, **fields)


def travel(client: Client, *, name: str, **how: Any) -> Any:
    """There and back."""
    left = client.get("/sign-in/with/example/?next=/account/")
    assert left.status_code == 302, left.content.decode()
    back = urlsplit(real.visit(left["location"], name=name, **how))
    assert back.path == BACK
    return client.get(f"{back.path}?{back.query}")


@pytest.mark.parametrize(
    ("client_id", "algorithm"),
    [
        *((f"weir-{name}", name) for name in ("RS256", "PS256", "ES256", "EdDSA")),
        *(("weir-post", "RS256"), ("weir-public", "RS256")),
    ],
)
def test_somebody_comes_in_whatever_way_the_client_is_registered(client, issuer, client_id, algorithm):
    configured(issuer, client_id, algorithms=[algorithm])
    assert travel(client, name="ada")["location"] == "/account/"
    user = auth.get_user(client)
    assert (user.email, user.first_name) == ("ada@example.com", "ada")
    again = Client()
    travel(again, name="ada")
    assert auth.get_user(again) == user


def test_groups_come_along(client, issuer, acme):
    row = configured(issuer, groups_decide=True)
    signin.add_rule(row, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    travel(client, name="ada.devs.others")
    assert Membership.objects.get().role == Role.DEVELOPER


def test_an_address_that_it_has_not_verified_links_nobody(client, issuer):
    eve = factories.user(email="eve@example.com")
    configured(issuer, links_by_email=True)
    travel(client, name="eve")
    assert auth.get_user(client) != eve
    assert auth.get_user(client).email == ""


def test_whoever_says_no_there_is_not_let_in_here(client, issuer):
    configured(issuer)
    assert reason(travel(client, name="ada", agrees=False)) == "provider: access_denied"
    assert not auth.get_user(client).is_authenticated


def test_a_token_signed_otherwise_than_the_row_says_is_refused(client, issuer):
    configured(issuer, "weir-ES256", algorithms=["RS256"])
    assert reason(travel(client, name="ada")) == "token: algorithm"


def test_a_client_with_a_wrong_secret_is_refused_there(client, issuer):
    row = configured(issuer)
    signin.set_secret(row, actor=None, secret="another")
    assert reason(travel(client, name="ada")) == "token: status 401"


def test_it_lets_its_visitor_leave_and_come_back_to_us(client, issuer):
    configured(issuer)
    travel(client, name="ada")
    page = client.post("/sign-out/").content.decode()
    assert f'href="{issuer}/session/end?client_id=weir-RS256&amp;post_logout_redirect_uri=' in page


def test_whoever_leaves_it_in_one_browser_is_signed_out_of_that_one(issuer, ear):
    configured(issuer, "weir-told")
    heard: list[str] = []

    def hear(form: dict[str, str]) -> Page:
        heard.append(form["logout_token"])
        return 200, b""

    ear.pages[TOLD] = hear
    here, there = Client(), Client()
    with httpx2.Client(timeout=60) as browser:
        travel(here, name="ada", browser=browser)
        travel(there, name="ada")
        real.leave(issuer, browser=browser)
    (token,) = heard
    assert here.post("/sign-in/with/example/logged-out/", {"logout_token": token}).status_code == 200
    assert [auth.get_user(client).is_authenticated for client in (here, there)] == [False, True]
