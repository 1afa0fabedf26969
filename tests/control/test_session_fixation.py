"""Sessions that somebody has planted, kept or copied: with each change of who is in, the old key opens nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.models import Session
from django.test import Client
from django_otp.oath import TOTP

from apps.accounts import services as accounts
from apps.signin import second_factors
from apps.signin.session_store import stored
from apps.tenants import invitations, services
from apps.tenants.models import Membership
from tests import factories
from tests.control.door import Door, open_loopback
from tests.issuers import issuing, signed

NAME = settings.SESSION_COOKIE_NAME
PASSWORD = "correct horse battery"
TYPED = {"username": "ada", "password": PASSWORD}
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F32")]


@pytest.fixture
def ada(db: None) -> Any:
    return factories.user("ada", password=PASSWORD)


def key(client: Client) -> str:
    return client.cookies[NAME].value


def holding(session_key: str) -> Client:
    """Another browser with that cookie."""
    found = Client()
    found.cookies[NAME] = session_key
    return found


def planted(client: Client) -> str:
    """A session of the attacker's own, in the victim's browser: it is there, and has something in it."""
    session = client.session
    session["seed"] = "the attacker's"
    session.save()
    client.cookies[NAME] = session.session_key
    return str(session.session_key)


def is_in(client: Client) -> bool:
    return bool(auth.get_user(client).is_authenticated)


def is_left(client: Client, former: str) -> None:
    """The key has changed, and the one before is nobody's and not even there."""
    assert is_in(client)
    assert key(client) != former
    assert not is_in(holding(former))
    assert not Session.objects.filter(session_key=stored(former)).exists()


def test_a_planted_session_is_left_at_sign_in(client, ada):
    former = planted(client)
    assert Session.objects.filter(session_key=stored(former)).exists()
    assert client.post("/sign-in/", TYPED).status_code == 302
    is_left(client, former)


@pytest.mark.parametrize("made_up", ["a" * 32, "0", "../../etc/passwd", "' OR 1=1 --"])
def test_a_key_that_somebody_made_up_becomes_nobody_s(client, ada, made_up):
    client.cookies[NAME] = made_up
    assert client.post("/sign-in/", TYPED).status_code == 302
    is_left(client, made_up)


def test_it_is_left_at_password_and_code_both(client, ada, monkeypatch):
    monkeypatch.setattr(TOTP, "verify", lambda *_, **__: True)
    second_factors.begin(ada)
    second_factors.confirm(ada, code="123456")
    former = planted(client)
    client.post("/sign-in/", TYPED)
    half_way = key(client)
    assert half_way != former
    assert not is_in(client)
    assert holding(former).get("/sign-in/code/")["location"] == "/sign-in/", "who planted it gets to no code"
    assert client.post("/sign-in/code/", {"code": "123456"}).status_code == 302
    is_left(client, half_way)
    assert holding(half_way).get("/sign-in/code/")["location"] == "/sign-in/"


@pytest.fixture
def door(db: None) -> Any:
    with issuing() as issuer:
        open_loopback()
        yield Door(issuer)


def test_it_is_left_at_the_way_back_from_a_provider(door):
    former = planted(door.client)
    door.enter(sub="ada")
    assert door.user is not None
    is_left(door.client, former)


def test_a_way_to_a_provider_that_somebody_else_began_leads_nobody_in(door):
    """The attacker's code and state in the victim's browser: the victim would be in as the attacker."""
    asked = door.leave()
    door.answer(signed(door.claims(asked, sub="mallory")))
    door.client = Client()
    planted(door.client)
    assert door.back(asked).status_code == 403
    assert door.user is None


def test_whoever_comes_in_over_somebody_else_gets_nothing_of_theirs(door, ada):
    door.client.force_login(ada)
    session = door.client.session
    session["theirs"] = "Ada's"
    session.save()
    former = key(door.client)
    door.enter(sub="bob")
    assert door.user not in (None, ada)
    assert "theirs" not in door.client.session
    is_left(door.client, former)


def test_it_is_left_by_whoever_joins(client, acme, alice):
    token = invitations.invite(acme, actor=alice, email="new@example.com", role="viewer").token
    former = planted(client)
    values = {"username": "newcomer", "password": PASSWORD}
    assert client.post(f"/invitations/{token}/", values).status_code == 302
    is_left(client, former)


def test_a_password_and_a_second_factor_change_the_key_and_end_all_others(client, ada, monkeypatch):
    monkeypatch.setattr(TOTP, "verify", lambda *_, **__: True)
    client.post("/sign-in/", TYPED)
    new = PASSWORD + " again"
    for path, values in (
        ("/account/password/", {"old": PASSWORD, "new": new, "again": new}),
        ("/account/second-factor/", {"code": "123456"}),
        ("/account/second-factor/remove/", {"code": "123456"}),
        ("/account/sign-out-everywhere/", {}),
    ):
        client.get(path)
        other = holding(key(client))
        former = key(client)
        assert is_in(other)
        second_factors.SecondFactor.objects.update(throttling_failure_count=0)
        assert client.post(path, values).status_code in (200, 302)
        is_left(client, former)
        assert not is_in(other), path


def test_signing_out_ends_it_on_the_server(client, ada):
    client.post("/sign-in/", TYPED)
    copied = holding(key(client))
    assert is_in(copied)
    client.post("/sign-out/")
    assert not is_in(copied)
    assert not Session.objects.filter(session_key=stored(key(copied))).exists()


@pytest.mark.parametrize("way", ["password", "deactivated", "ended", "removed"])
def test_what_others_do_to_somebody_ends_or_bounds_their_sessions_at_once(client, acme, alice, bob, way):
    client.force_login(bob)
    page = f"/t/{acme.slug}/keys/"
    assert client.get(page).status_code == 200
    if way == "password":
        accounts.set_password(bob, actor=alice, password=PASSWORD)
    elif way == "deactivated":
        accounts.deactivate(bob, actor=alice)
    elif way == "ended":
        accounts.end_sessions(bob, actor=alice)
    else:
        services.remove_member(Membership.objects.get(user=bob, tenant=acme), actor=alice)
    assert client.get(page).status_code == (404 if way == "removed" else 302)


def test_its_cookie_is_out_of_reach_of_scripts_and_other_sites(client, ada):
    client.post("/sign-in/", TYPED)
    morsel = client.cookies[NAME]
    assert (morsel["httponly"], morsel["samesite"], morsel["domain"]) == (True, "Lax", "")
