"""A provider says that somebody has left it: their sessions and programs end, and nobody else can say so."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.contrib import auth
from django.test import Client
from django.utils import timezone

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import Record
from apps.keys.models import Grant
from apps.signin import oidc, second_factors
from apps.signin import services as signin
from apps.signin.ending import EVENT
from apps.signin.models import ProviderSession, SpentToken
from tests import factories
from tests.control.door import CLIENT, Door, open_loopback
from tests.control.test_totp import shown
from tests.forgeries import OF_ISSUER, forged
from tests.issuers import DISCOVERY, JWKS, document, issuing, jwks, signed

pytestmark = [pytest.mark.django_db]
ADDRESS = "/sign-in/with/example/logged-out/"


@pytest.fixture(scope="module")
def _server():
    with issuing() as server:
        yield server


@pytest.fixture
def issuer(_server, db):
    _server.pages.clear()
    _server.pages[JWKS] = jwks()
    open_loopback()
    return _server


@pytest.fixture
def door(issuer) -> Door:
    return Door(issuer)


def claims(door, **changes):
    """Those of a good logout token for whoever `Door.enter` lets in; None takes one out."""
    good = {"aud": CLIENT, "jti": uuid.uuid4().hex, "events": {EVENT: {}}}
    return door.issuer.claims(**good | changes)


def say(token, *, address=ADDRESS, **more):
    """As the provider's server does: without a cookie, and with CSRF checks in force."""
    return Client(enforce_csrf_checks=True).post(address, {"logout_token": token} | more)


def program(user, project):
    return Grant.objects.create(
        tenant=project.tenant, project=project, user=user, public_id=uuid.uuid4().hex[:12], client="claude-code"
    )


def test_all_sessions_and_programs_of_the_person_end_and_nobody_elses(door, website):
    door.enter(sub="ada")
    ada = door.user
    phone, other = Client(), Client()
    phone.force_login(ada)
    bob = factories.user("bob")
    other.force_login(bob)
    running, theirs = program(ada, website), program(bob, website)
    answer = say(signed(claims(door)))
    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["cache-control"]
    assert door.user is None
    assert phone.get("/account/").status_code == 302
    assert other.get("/account/").status_code == 200
    running.refresh_from_db(), theirs.refresh_from_db()
    assert (running.ended_at is None, theirs.ended_at is None) == (False, True)
    row = Record.objects.get(action="user.signed_out")
    assert (row.area, row.after["provider"], row.after["programs"]) == ("sign_in", "Example", 1)
    door.enter(sub="ada")
    assert door.user == ada, "who was signed out may come again"


def test_a_session_may_be_named_alone(door):
    door.enter(sub="ada", sid="s-1")
    assert say(signed(claims(door, sub=None, sid="s-2"))).status_code == 200
    assert door.user is not None
    assert b"s-1" not in bytes(ProviderSession.objects.get().digest)
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    assert door.user is None


def test_only_the_session_that_is_named_ends_and_programs_with_the_last_one(door, website):
    door.enter(sub="ada", sid="s-1")
    ada, first = door.user, door.client
    door.client = Client()
    door.enter(sub="ada", sid="s-2")
    password = Client()
    password.force_login(ada)
    running = program(ada, website)
    assert say(signed(claims(door, sub="ada", sid="s-3"))).status_code == 200, "it is not known here, or not any more"
    assert Record.objects.filter(action="user.signed_out").count() == 0
    assert say(signed(claims(door, sub="ada", sid="s-1"))).status_code == 200
    assert [auth.get_user(one).is_authenticated for one in (first, door.client, password)] == [False, True, True]
    running.refresh_from_db()
    assert running.ended_at is None
    assert say(signed(claims(door, sub=None, sid="s-2"))).status_code == 200
    assert [auth.get_user(one).is_authenticated for one in (door.client, password)] == [False, True]
    running.refresh_from_db()
    assert running.ended_at is not None
    assert say(signed(claims(door, sub="ada", sid="s-2"))).status_code == 200, "said again, it ends no others"
    assert auth.get_user(password).is_authenticated
    assert [row.after["sessions"] for row in Record.objects.filter(action="user.signed_out").order_by("pk")] == [1, 1]


def test_of_whom_no_session_has_a_name_here_all_end_if_one_is_named(door, website):
    door.enter(sub="ada")
    running = program(door.user, website)
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    assert door.user is not None, "a name alone says nothing here"
    assert say(signed(claims(door, sub="ada", sid="s-1"))).status_code == 200
    assert door.user is None
    running.refresh_from_db()
    assert running.ended_at is not None
    assert Record.objects.get(action="user.signed_out").after["sessions"] == "all"


def test_sessions_that_have_ended_hold_up_no_program(door, website):
    for name in ("s-1", "s-2"):
        door.client = Client()
        door.enter(sub="ada", sid=name)
    running = program(door.user, website)
    say(signed(claims(door, sub="ada")))
    running.refresh_from_db()
    assert running.ended_at is not None
    door.client = Client()
    door.enter(sub="ada", sid="s-3")
    again = program(door.user, website)
    assert say(signed(claims(door, sub="ada", sid="s-3"))).status_code == 200
    again.refresh_from_db()
    assert again.ended_at is not None
    door.enter(sub="ada", sid="s-4")
    door.client = Client()
    door.enter(sub="ada", sid="s-5")
    accounts.set_password(door.user, actor=None, password="correct horse battery")
    last = program(User.objects.get(), website)
    assert say(signed(claims(door, sub="ada", sid="s-4"))).status_code == 200
    last.refresh_from_db()
    assert last.ended_at is not None, "the other one ended with the old password"


def test_a_session_is_found_by_its_name_there_after_it_was_renewed_and_got_another_key(door):
    door.enter(sub="ada", sid="s-1")
    first = door.client
    ProviderSession.objects.update(at=timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE + 60))
    session = first.session
    session["something"] = "new"
    session.save()
    door.client = Client()
    door.enter(sub="eve", sid="s-2")  # what is too old is forgotten by that
    session.cycle_key()
    session.save()
    first.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert auth.get_user(first).is_authenticated
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    assert not auth.get_user(first).is_authenticated
    assert door.user is not None


def test_whoever_comes_in_again_in_the_same_browser_is_there_by_the_later_session(door):
    door.enter(sub="ada", sid="s-1")
    assert door.enter(sub="ada", sid="s-2").status_code == 302
    assert say(signed(claims(door, sid="s-1"))).status_code == 200
    assert door.user is not None
    assert say(signed(claims(door, sid="s-2"))).status_code == 200
    assert door.user is None


def test_whoever_comes_in_again_by_a_session_without_a_name_is_not_there_by_the_earlier_one(door):
    door.enter(sub="ada", sid="s-1")
    door.enter(sub="ada")
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    assert door.user is not None


def test_a_session_of_before_their_keys_were_written_down_ends_with_all_others(door):
    door.enter(sub="ada", sid="s-1")
    ProviderSession.objects.update(session_key="")
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    assert door.user is None


def enrolled(door):
    """Ada, and her recovery codes."""
    ada = factories.user("ada")
    identities.link(ada, actor=None, issuer=door.issuer.url, subject="ada")
    second_factors.begin(ada)
    return ada, second_factors.confirm(ada, code=shown(ada))


def test_a_session_that_began_with_a_code_is_found_too(door):
    ada, codes = enrolled(door)
    assert door.enter(sub="ada", sid="s-1")["location"] == "/sign-in/code/"
    door.client.post("/sign-in/code/", {"code": codes[0]})
    assert door.user == ada
    assert say(signed(claims(door, sub="ada", sid="s-1"))).status_code == 200
    assert door.user is None
    assert Record.objects.get(action="user.signed_out").after["sessions"] == 1


def test_whoever_leaves_the_provider_before_the_code_is_not_let_in_by_it(door):
    _, codes = enrolled(door)
    door.enter(sub="ada", sid="s-1")
    assert say(signed(claims(door, sub=None, sid="s-1"))).status_code == 200
    page = door.client.post("/sign-in/code/", {"code": codes[0]}, follow=True)
    assert page.redirect_chain == [("/sign-in/", 302)]
    assert "you have been signed out. Start again." in page.content.decode()
    assert door.user is None


def test_whoever_comes_in_again_and_owes_a_code_is_found_by_the_later_session(door):
    ada, codes = enrolled(door)
    for name, code in (("s-1", codes[0]), ("s-2", codes[1])):
        door.enter(sub="ada", sid=name)
        assert door.user is None, "until the code nobody is in"
        assert door.client.post("/sign-in/code/", {"code": code}).status_code == 302
        assert door.user == ada
    say(signed(claims(door, sub=None, sid="s-1")))
    assert door.user == ada
    say(signed(claims(door, sub=None, sid="s-2")))
    assert door.user is None


def test_who_is_not_known_here_is_no_fault(door):
    assert say(signed(claims(door, sub="nobody"))).status_code == 200
    assert not Record.objects.filter(action="user.signed_out").exists()


def test_of_a_tenants_provider_only_programs_in_that_tenant_end(issuer, website, globex):
    door = Door(issuer, tenant=website.tenant, default_role="viewer")
    door.enter(sub="ada")
    here, there = program(door.user, website), program(door.user, factories.project(globex, "Theirs"))
    assert say(signed(claims(door))).status_code == 200
    here.refresh_from_db(), there.refresh_from_db()
    assert (here.ended_at is None, there.ended_at is None) == (False, True)


def test_a_tenants_provider_signs_out_nobody_who_sees_more_than_the_tenant(issuer, website):
    door = Door(issuer, tenant=website.tenant, default_role="viewer")
    door.enter(sub="ada")
    User.objects.filter(pk=door.user.pk).update(is_staff=True)
    assert say(signed(claims(door))).status_code == 200
    assert door.user is not None


def test_a_token_is_taken_once(door):
    door.enter(sub="ada")
    token = signed(claims(door))
    assert say(token).status_code == 200
    door.enter(sub="ada")
    assert say(token).json()["error_description"] == "token: used before"
    assert door.user is not None
    SpentToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert say(signed(claims(door))).status_code == 200
    assert SpentToken.objects.count() == 1, "what cannot be used any more is forgotten"


NOW = int(time.time())
BAD = {
    "another issuer": ({"iss": "https://elsewhere.example"}, "issuer"),
    "another audience": ({"aud": "somebody"}, "audience"),
    "no audience": ({"aud": None}, "audience"),
    "expired": ({"iat": NOW - 900, "exp": NOW - 600}, "expired"),
    "no expiry": ({"exp": None}, "expiry"),
    "for ever": ({"exp": NOW + 10**8}, "expiry"),
    "no moment": ({"iat": None}, "expiry"),
    "from the future": ({"iat": NOW + 9_000, "exp": NOW + 9_900}, "not yet valid"),
    "no jti": ({"jti": None}, "no jti"),
    "a jti of another kind": ({"jti": 7}, "names"),
    "a jti without end": ({"jti": "j" * 5_000}, "names"),
    "no events": ({"events": None}, "events"),
    "another event": ({"events": {"http://schemas.openid.net/event/other": {}}}, "events"),
    "events of another kind": ({"events": [EVENT]}, "events"),
    "an event of another kind": ({"events": {EVENT: "yes"}}, "events"),
    "a nonce, as an id token has": ({"nonce": "n"}, "nonce"),
    "an empty nonce": ({"nonce": ""}, "nonce"),
    "nobody": ({"sub": None}, "nobody"),
    "a sub of another kind": ({"sub": ["ada"]}, "subject"),
    "an empty sid": ({"sid": ""}, "names"),
}


@pytest.mark.once
@pytest.mark.parametrize("what", BAD)
def test_a_token_that_is_not_right_ends_nothing(door, what):
    changes, why = BAD[what]
    door.enter(sub="ada")
    answer = say(signed(claims(door, **changes)))
    assert (answer.status_code, answer.json()["error_description"]) == (400, f"token: {why}")
    assert door.user is not None
    assert not SpentToken.objects.exists()


@pytest.mark.once
def test_a_token_that_somebody_else_has_signed_ends_nothing(door):
    door.enter(sub="ada")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token in (
        signed(claims(door), key=stranger),
        signed(claims(door), kid="unknown"),
        signed(claims(door)).rpartition(".")[0] + ".",
        "x.y.z",
        "",
        "e" * 100_000,
    ):
        assert say(token).status_code == 400, token[:30]
    assert door.user is not None


@pytest.mark.once
def test_a_session_of_somebody_else_with_ones_own_name_ends_nothing(door):
    door.enter(sub="ada", sid="s-1")
    identities.link(factories.user("eve"), actor=None, issuer=door.issuer.url, subject="eve")
    answer = say(signed(claims(door, sub="eve", sid="s-1")))
    assert answer.json()["error_description"] == "token: another person's session"
    assert door.user is not None


@pytest.mark.once
def test_it_is_asked_by_post_at_a_provider_that_there_is(door):
    door.enter(sub="ada")
    assert Client().get(ADDRESS).status_code == 405
    assert say(signed(claims(door)), address="/sign-in/with/nobody/logged-out/").status_code == 404
    door.issuer.pages[DISCOVERY] = document({})
    oidc.configurations.forget()
    assert say(signed(claims(door))).status_code == 400
    assert door.user is not None


@pytest.mark.attack("F22")
def test_no_forged_token_ends_anybody_s_session(door, website, figure):
    signin.update_provider(door.provider, actor=None, algorithms=list(OF_ISSUER))
    door.enter(sub="ada")
    tokens = forged(claims(door, sub="ada"))
    for name, token in tokens.items():
        answer = say(token)
        assert answer.status_code == 400 or "ADA" in name, name  # who is not known here is no fault
        assert token[-40:] not in answer.content.decode()
    assert door.user is not None
    figure("F22", "forged logout tokens refused", len(tokens), least=25)


@pytest.mark.attack("F23")
def test_a_flood_of_key_ids_makes_the_provider_be_asked_once(door, figure):
    door.enter(sub="ada")
    before = door.issuer.asked[JWKS]
    for number in range(100):
        assert say(signed(claims(door, sub="ada"), kind="ed", algorithm="EdDSA", kid=f"k{number}")).status_code == 400
        assert say(f"{number}.{number}.{number}").status_code == 400
    asked = door.issuer.asked[JWKS] - before
    assert asked <= 1
    figure("F23", "questions to a provider for 200 logout tokens of unknown keys", asked, most=1)
    assert door.user is not None


@pytest.mark.attack("fuzz")
@pytest.mark.parametrize("claim", ["jti", "sid", "sub"])
@pytest.mark.parametrize("value", ["\0", "\ud800", 7, ["x"], {"a": 1}, "", "x" * 5_000, True])
def test_whatever_its_token_calls_things_breaks_nothing(door, claim, value):
    door.enter(sub="ada")
    assert say(signed(claims(door, **{"sub": "ada", claim: value}))).status_code in (200, 400)
