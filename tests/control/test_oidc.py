"""Signing in by OpenID Connect, at an issuer that lies wherever it can."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from apps.accounts import services as accounts
from apps.audit.models import Record
from apps.outbound import documents
from apps.outbound.jwks import key_sets
from apps.signin import oidc
from apps.signin import services as signin
from tests.control.door import CLIENT, SECRET, TOKEN, Door, discovery, open_loopback, reason
from tests.issuers import DISCOVERY, JWKS, document, issuing, jwk, jwks, signed

pytestmark = [pytest.mark.django_db, pytest.mark.attack("F22", "F32")]
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def _server():
    with issuing() as server:
        yield server


@pytest.fixture
def issuer(_server):
    _server.pages.clear()
    _server.hanging.clear()
    _server.asked.clear()
    _server.pages[JWKS] = jwks()
    return _server


@pytest.fixture
def door(issuer, db) -> Door:
    open_loopback()
    return Door(issuer)


# --- all is well ---------------------------------------------------------------------------------------------------


def test_a_stranger_becomes_a_person_who_is_signed_in(door):
    page = door.client.get("/sign-in/?next=/account/").content.decode()
    assert 'href="/sign-in/with/example/?next=%2Faccount%2F"' in page
    asked = door.leave(next="/account/")
    door.answer(signed(door.claims(asked, email="ada@example.com", email_verified=True, given_name="Ada")))
    answer = door.back(asked)
    assert answer["location"] == "/account/"
    assert (door.user.email, door.user.first_name, door.user.has_usable_password()) == ("ada@example.com", "Ada", False)
    row = Record.objects.get(action="user.signed_in")
    assert (row.area, row.after["provider"], row.actor_id) == ("sign_in", "Example", door.user.pk)
    again = Door.__new__(Door)
    again.__dict__ |= door.__dict__ | {"client": Client()}
    again.enter(email="another@example.com", email_verified=True)
    assert again.user == door.user, "by issuer and subject, whatever the address"


def test_what_is_asked_is_bound_to_the_answer(door):
    asked = door.leave()
    assert asked["redirect_uri"] == "http://testserver/sign-in/with/example/back/"
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", CLIENT, "openid email profile")
    assert asked["code_challenge_method"] == "S256"
    door.answer(signed(door.claims(asked)))
    door.back(asked)
    (form,) = door.forms
    challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert challenge == asked["code_challenge"]
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == (
        *("authorization_code", "a code"),
        asked["redirect_uri"],
    )
    name, secret = base64.b64decode(form["_authorization"].removeprefix("Basic ")).decode().split(":")
    assert (name, secret) == (CLIENT, "between%20us%3A%20%2B%26%25%20%C3%A9")
    other = door.leave()
    assert all(other[name] != asked[name] for name in ("state", "nonce", "code_challenge"))


def test_a_secret_may_go_in_the_form_or_not_at_all(door):
    door.issuer.pages[DISCOVERY] = document(
        discovery(door.issuer, token_endpoint_auth_methods_supported=["client_secret_post"])
    )
    door.enter()
    assert (door.forms[0]["client_secret"], door.forms[0]["_authorization"]) == (SECRET, "")
    signin.update_provider(door.provider, actor=None, client_id="public")
    asked = door.leave()
    door.answer(signed(door.claims(asked, aud="public")))
    door.back(asked)
    assert "client_secret" not in door.forms[1]
    assert door.forms[1]["code_verifier"]


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_every_algorithm_of_the_row_will_do(door, kind, algorithm):
    signin.update_provider(door.provider, actor=None, algorithms=[algorithm])
    door.enter(how={"kind": kind, "algorithm": algorithm})
    assert door.user is not None


def test_keys_are_fetched_once_for_many_sign_ins(door):
    for _ in range(3):
        door.client.logout()
        door.enter()
        assert door.user is not None
    assert (door.issuer.asked[JWKS], door.issuer.asked[DISCOVERY]) == (1, 1)


def test_what_the_token_does_not_say_is_asked_for(door):
    told = {"sub": "ada", "email": "ada@example.com", "email_verified": True}
    door.issuer.pages["/userinfo"] = document(told)
    door.issuer.pages[DISCOVERY] = document(discovery(door.issuer, userinfo_endpoint=f"{door.issuer.url}/userinfo"))
    door.enter()
    assert door.user.email == "ada@example.com"
    door.client.logout()
    door.issuer.pages["/userinfo"] = document(told | {"sub": "eve"})
    assert reason(door.enter()) == "userinfo: another person"


# --- tokens that must not be believed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "another"}, "token: audience"),
        ({"aud": None}, "token: audience"),
        ({"aud": [CLIENT, "another"]}, "token: authorized party"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "token: authorized party"),
        ({"azp": "another"}, "token: authorized party"),
        ({"iss": "https://accounts.google.com"}, "token: issuer"),
        ({"exp": int(time.time()) - 3600, "iat": int(time.time()) - 7200}, "token: expired"),
        ({"exp": None}, "token: expiry"),
        ({"nbf": int(time.time()) + 3600}, "token: not yet valid"),
        ({"iat": int(time.time()) + 3600}, "token: not yet valid"),
        ({"nonce": "another"}, "token: nonce"),
        ({"nonce": None}, "token: nonce"),
        ({"nonce": ["x"]}, "token: nonce"),
        ({"sub": None}, "token: subject"),
        ({"sub": ""}, "token: subject"),
    ],
)
def test_a_token_with_a_claim_that_is_not_ours(door, changes, why):
    assert reason(door.enter(**changes)) == why
    assert door.user is None


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"kid": "gone"}, "token: unknown key"),
        ({"key": STRANGER}, "token: signature"),
        ({"algorithm": "RS512"}, "token: algorithm"),
        ({"algorithm": "ES256", "kind": "ec"}, "token: algorithm"),
        ({"key": SECRET * 3, "algorithm": "HS256"}, "token: algorithm"),
        ({"key": STRANGER, "jwk": jwk("rsa", key=STRANGER)}, "token: signature"),
    ],
)
def test_a_token_that_is_signed_otherwise(door, how, why):
    assert reason(door.enter(how=how)) == why
    assert door.user is None


def test_a_token_without_a_signature(door):
    asked = door.leave()
    head, claims = ({"alg": "none", "kid": "rsa"}, door.claims(asked))
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims)]
    door.answer(".".join([*parts, ""]))
    assert reason(door.back(asked)) == "token: algorithm"


def test_a_new_key_is_found_and_an_unknown_one_asked_for_once(door, monkeypatch):
    door.enter()
    assert door.issuer.asked[JWKS] == 1
    for _ in range(3):
        door.client.logout()
        assert reason(door.enter(how={"kid": "new"})) == "token: unknown key"
    assert door.issuer.asked[JWKS] == 1, "it was asked a moment ago"
    key_sets.forget()
    door.issuer.pages[JWKS] = jwks(jwk("rsa", kid="new"))
    door.enter(how={"kid": "new"})
    assert door.user is not None


# --- providers that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://accounts.google.com"}, "discovery: another issuer"),
        ({"issuer": "http://127.0.0.1"}, "discovery: another issuer"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "discovery: an address"),
        ({"token_endpoint": "http://user:password@127.0.0.1/"}, "discovery: an address"),
        ({"jwks_uri": "file:///etc/passwd"}, "discovery: an address"),
        ({"jwks_uri": None}, "discovery: unreadable"),
        ({"token_endpoint": 7}, "discovery: unreadable"),
    ],
)
def test_a_configuration_that_lies(door, changes, why):
    door.issuer.pages[DISCOVERY] = document(discovery(door.issuer, **changes))
    answer = door.client.get("/sign-in/with/example/")
    assert reason(answer) == why
    assert "google" not in answer.content.decode()


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ((500, b"Traceback: secret"), "status 500"),
        ((302, b""), "status 302"),
        ((200, b"<html>"), "unreadable"),
        ((200, b"[]"), "unreadable"),
        ((200, b"[" * 100_000), "unreadable"),
    ],
)
@pytest.mark.parametrize(("path", "what"), [(DISCOVERY, "discovery"), (JWKS, "keys"), (TOKEN, "token")])
def test_a_provider_that_breaks(door, path, what, page, why):
    if path == DISCOVERY:
        door.issuer.pages[path] = page
        answer = door.client.get("/sign-in/with/example/")
    else:
        asked = door.leave()
        door.answer(signed(door.claims(asked)))
        door.issuer.pages[path] = page
        answer = door.back(asked)
    assert reason(answer) == f"{what}: {why}"
    assert "Traceback" not in answer.content.decode()
    assert door.user is None


@pytest.mark.parametrize(("path", "what"), [(DISCOVERY, "discovery"), (JWKS, "keys"), (TOKEN, "token")])
def test_a_provider_that_says_nothing_is_left_after_a_while(door, monkeypatch, path, what):
    monkeypatch.setattr(oidc.configurations, "_seconds", 0.2)
    monkeypatch.setattr(key_sets, "_seconds", 0.2)
    monkeypatch.setitem(documents.ask.__kwdefaults__, "seconds", 0.2)
    if path != DISCOVERY:
        asked = door.leave()
        door.answer(signed(door.claims(asked)))
    door.issuer.hanging.add(path)
    answer = door.client.get("/sign-in/with/example/") if path == DISCOVERY else door.back(asked)
    assert reason(answer) == f"{what}: late"


def test_an_answer_without_a_token(door):
    for told in ({}, {"id_token": None}, {"id_token": {"a": 1}}, {"id_token": "a.b.c"}, {"id_token": ""}):
        asked = door.leave()
        door.answer("")
        door.issuer.pages[TOKEN] = document({"access_token": "x"} | told)
        assert reason(door.back(asked)) in ("no id token", "token: malformed")


def test_addresses_that_nobody_opened_are_not_called(issuer, db):
    open_loopback()
    door = Door(issuer)
    door.issuer.pages[DISCOVERY] = document(discovery(issuer, token_endpoint="http://169.254.169.254/token"))
    asked = door.leave()
    assert reason(door.back(asked)) == "token: address refused"


def test_a_secret_that_does_not_open_lets_nobody_in(door):
    type(door.provider).objects.update(client_id="moved")
    assert reason(door.enter(aud="moved")) == "secret unreadable"


# --- ways back that are not ours -----------------------------------------------------------------------------------


def test_a_return_counts_once(door):
    asked = door.leave()
    door.answer(signed(door.claims(asked)))
    assert door.back(asked).status_code == 302
    door.client.logout()
    assert reason(door.back(asked)) == "no such journey"
    assert len(door.forms) == 1


def test_a_return_that_failed_is_not_tried_again(door):
    asked = door.leave()
    door.answer("nonsense")
    door.back(asked)
    door.answer(signed(door.claims(asked)))
    assert reason(door.back(asked)) == "no such journey"


def test_a_return_to_another_browser(door):
    asked = door.leave()
    door.answer(signed(door.claims(asked)))
    door.client = Client()
    assert reason(door.back(asked)) == "no such journey"


@pytest.mark.parametrize("state", ["", "guessed", None])
def test_a_return_without_our_state(door, state):
    asked = door.leave()
    assert reason(door.back(asked, state=state)) == "no such journey"
    assert not door.forms


def test_a_return_to_another_provider(door, issuer):
    """Mix-up: what was begun with one is ended with another."""
    asked = door.leave()
    signin.create_provider(actor=None, name="Other", slug="other", client_id="x", issuer=issuer.url)
    answer = door.client.get("/sign-in/with/other/back/", {"code": "a code", "state": asked["state"]})
    assert reason(answer) == "no such journey"


def test_a_return_from_another_issuer(door):
    asked = door.leave()
    assert reason(door.back(asked, iss="https://evil.example")) == "another issuer"
    door.issuer.pages[DISCOVERY] = document(discovery(door.issuer, authorization_response_iss_parameter_supported=True))
    oidc.configurations.forget()
    assert reason(door.back(door.leave())) == "no issuer"
    asked = door.leave()
    door.answer(signed(door.claims(asked)))
    assert door.back(asked, iss=door.issuer.url).status_code == 302


def test_a_return_after_too_long(door):
    asked = door.leave()
    session = door.client.session
    journeys = session["sign_in_journeys"]
    journeys[asked["state"]]["at"] -= 601
    session["sign_in_journeys"] = journeys
    session.save()
    assert reason(door.back(asked)) == "no such journey"


@pytest.mark.parametrize(
    ("error", "why"),
    [("access_denied", "provider: access_denied"), ("<script>alert(1)</script>", "provider: an error")],
)
def test_a_return_with_an_error(door, error, why):
    answer = door.back(door.leave(), error=error, error_description="<b>go to evil.example</b>", code=None)
    assert reason(answer) == why
    assert "evil" not in answer.content.decode()


def test_few_are_on_the_way_at_once(door):
    first = door.leave()
    for _ in range(5):
        last = door.leave()
    assert reason(door.back(first)) == "no such journey"
    door.answer(signed(door.claims(last)))
    assert door.back(last).status_code == 302


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_it_leads_to_no_other_site(door, wanted):
    asked = door.leave(next=wanted)
    door.answer(signed(door.claims(asked)))
    assert door.back(asked)["location"] == "/"


def test_a_provider_that_is_off_is_not_there(door):
    asked = door.leave()
    signin.update_provider(door.provider, actor=None, is_enabled=False)
    assert door.client.get("/sign-in/with/example/").status_code == 404
    assert door.back(asked).status_code == 404
    assert "Example" not in door.client.get("/sign-in/").content.decode()


# --- afterwards ----------------------------------------------------------------------------------------------------


def test_whoever_is_shut_off_is_out_and_stays_out(door):
    door.enter()
    accounts.deactivate(door.user, actor=None)
    assert door.user is None
    assert reason(door.enter()) == "inactive"


def test_signing_out_leads_to_where_the_provider_is_left(door):
    door.enter()
    page = door.client.post("/sign-out/").content.decode()
    assert door.user is None
    back = "post_logout_redirect_uri=http%3A%2F%2Ftestserver%2Fsign-in%2F"
    assert f'href="{door.issuer.url}/leave?client_id={CLIENT}&amp;{back}"' in page


def test_a_refusal_is_logged_with_its_reason_and_without_secrets(door, caplog):
    with caplog.at_level(logging.INFO):
        asked = door.leave()
        token = signed(door.claims(asked, nonce="x"))
        door.answer(token)
        answer = door.back(asked, code="the-code")
    told = caplog.text + answer.content.decode()
    assert "token: nonce" in caplog.text
    for secret in (token, "the-code", SECRET, asked["state"], asked["nonce"]):
        assert secret not in told
