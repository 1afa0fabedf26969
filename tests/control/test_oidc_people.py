"""Whom a provider may let in, as whom, and what their groups make of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import Identity, User
from apps.audit.models import Record
from apps.signin import services as signin
from apps.signin.models import SecondFactor
from apps.tenants.models import Membership, Role
from tests import factories
from tests.control.door import Door, open_loopback, reason
from tests.issuers import JWKS, issuing, jwks, signed

pytestmark = pytest.mark.django_db
ADDRESS = {"email": "Ada@Example.com", "email_verified": True}


@pytest.fixture(scope="module")
def _server():
    with issuing() as server:
        yield server


@pytest.fixture
def at(_server, db) -> Any:
    """Makes a door whose provider is as told."""
    _server.pages.clear()
    _server.pages[JWKS] = jwks()
    open_loopback()
    return lambda **fields: Door(_server, **fields)


def roles(user: Any) -> dict[str, str]:
    return dict(Membership.objects.filter(user=user).values_list("tenant__name", "role"))


# --- as whom -------------------------------------------------------------------------------------------------------


def test_strangers_are_made_only_where_the_provider_may(at):
    door = at(creates_people=False)
    answer = door.enter(**ADDRESS)
    assert reason(answer) == "unknown"
    assert "invite you" in answer.content.decode()
    assert not User.objects.exists()


def test_an_address_links_where_the_provider_is_trusted_with_it(at):
    ada = factories.user(email="ada@example.com")
    door = at(links_by_email=True)
    door.enter(**ADDRESS)
    assert door.user == ada
    assert Record.objects.filter(action="identity.linked").count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "email_verified": False},
        {"email": "ada@example.com", "email_verified": "false"},
        {"email": "ada@example.com", "email_verified": 1},
        {"email": ["ada@example.com"], "email_verified": True},
        {"email": "ada@example.com\n", "email_verified": True},
    ],
)
def test_an_address_that_is_not_verified_is_none(at, claims):
    ada = factories.user(email="ada@example.com")
    door = at(links_by_email=True)
    door.enter(**claims)
    assert door.user is not None
    assert door.user != ada
    assert door.user.email == ""


def test_an_address_that_is_taken_is_not_taken_over(at):
    factories.user(email="ada@example.com")
    door = at()
    answer = door.enter(**ADDRESS)
    assert reason(answer) == "address taken"
    assert not Identity.objects.exists()
    assert User.objects.count() == 1


@pytest.mark.parametrize("rights", [{"is_staff": True}, {"is_staff": True, "is_superuser": True}])
def test_whoever_administers_is_never_linked_by_an_address(at, rights):
    factories.user(email="ada@example.com", **rights)
    assert reason(at(links_by_email=True).enter(**ADDRESS)) == "privileged"
    assert not Identity.objects.exists()


def test_a_tenants_provider_takes_nobody_of_another_tenant(at, acme, globex):
    ada = factories.member(globex, "ada")
    accounts.update_user(ada, actor=None, email="ada@example.com")
    door = at(tenant=acme, links_by_email=True, default_role="developer")
    assert reason(door.enter(**ADDRESS)) == "elsewhere"
    Membership.objects.all().delete()
    door.enter(**ADDRESS)
    assert (door.user, roles(ada)) == (ada, {"Acme": "developer"})


def test_a_tenants_provider_never_lets_in_who_administers(at, acme):
    door = at(tenant=acme)
    door.enter()
    person = door.user
    accounts.update_user(person, actor=None, is_staff=True)
    door.client = Client()
    assert reason(door.enter()) == "privileged"
    assert door.user is None


def test_of_a_tenants_provider_only_those_hear_who_name_the_tenant(at, acme, alice, charlie):
    door = at(tenant=acme, name="Acme’s own")

    def shown(path: str) -> bool:
        page = door.client.get(path).content.decode()
        return "Acme’s own" in page

    assert not shown("/sign-in/")
    assert not shown("/sign-in/?tenant=globex")
    assert "no provider for this name" in door.client.get("/sign-in/?tenant=globex").content.decode()
    assert shown("/sign-in/?tenant=acme")
    assert shown("/sign-in/?next=/t/acme/keys/")
    for user, is_told in ((alice, True), (charlie, False)):
        door.client.force_login(user)
        assert shown("/account/") == is_told


def test_somebody_else_at_the_provider_is_somebody_else_here(at):
    door = at()
    door.enter(sub="ada")
    ada = door.user
    door.client = Client()
    door.enter(sub="Ada")
    assert door.user != ada
    assert ada.username != door.user.username


def test_names_are_kept_short_and_printable(at):
    door = at()
    door.enter(given_name="A\0da\u202e" + "x" * 500, family_name=7)
    assert door.user.first_name == ("Ada" + "x" * 500)[:150]


def test_only_those_with_the_required_claims_come_in(at):
    door = at(required_claims={"hd": "example.com", "tid": ["one", "two"]})
    assert reason(door.enter(hd="gmail.com", tid="one")) == "required claim"
    assert reason(door.enter(hd="example.com")) == "required claim"
    door.enter(hd="example.com", tid="two")
    assert door.user is not None


# --- connecting from one's own account -----------------------------------------------------------------------------


def connect(door: Door, *, sub: str = "ada") -> Any:
    page = door.client.post("/account/connect/example/")
    assert page.status_code == 200
    state = next(iter(door.client.session["sign_in_journeys"]))
    journey = door.client.session["sign_in_journeys"][state]
    asked = {"state": state, "nonce": journey["nonce"]}
    door.answer(signed(door.claims(asked, sub=sub)))
    return door.back(asked)


def test_somebody_who_is_in_connects_a_provider(at, operator):
    door = at()
    door.client.force_login(operator)
    assert "Connect" in door.client.get("/account/").content.decode()
    assert connect(door)["location"] == "/account/"
    assert identities.user_of(door.issuer.url, "ada") == operator
    door.client = Client()
    door.enter()
    assert door.user == operator


def test_a_connection_is_made_for_who_began_it(at, operator, alice):
    door = at()
    door.client.force_login(operator)
    door.client.post("/account/connect/example/")
    state, journey = next(iter(door.client.session["sign_in_journeys"].items()))
    door.client.logout()
    door.client.force_login(alice)
    session = door.client.session
    session["sign_in_journeys"] = {state: journey}
    session.save()
    asked = {"state": state, "nonce": journey["nonce"]}
    door.answer(signed(door.claims(asked)))
    assert reason(door.back(asked)) == "no such journey"
    assert not Identity.objects.exists()


def test_an_identity_of_somebody_else_is_not_taken(at, alice, bob):
    door = at()
    identities.link(bob, actor=None, issuer=door.issuer.url, subject="ada")
    door.client.force_login(alice)
    assert reason(connect(door)) == "identity taken"


def test_the_last_way_in_stays(at):
    door = at()
    door.enter()
    row = Identity.objects.get()
    door.client.post(f"/account/identities/{row.pk}/disconnect/")
    assert Identity.objects.exists(), "there is no password"
    door.user.set_password("correct horse battery")
    User.objects.filter(pk=door.user.pk).update(password="md5$x$y")
    door.client.force_login(User.objects.get())
    door.client.post(f"/account/identities/{row.pk}/disconnect/")
    assert not Identity.objects.exists()


def test_an_identity_of_somebody_else_is_not_disconnected(at, alice, bob):
    row = identities.link(bob, actor=None, issuer="https://id.example.com", subject="ada")
    client = Client()
    client.force_login(alice)
    assert client.post(f"/account/identities/{row.pk}/disconnect/").status_code == 404


# --- the second factor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("has_its_own", "leads_to"), [(True, "/"), (False, "/sign-in/code/")])
def test_a_code_is_asked_for_unless_the_provider_has_asked_for_one(at, has_its_own, leads_to):
    door = at(is_second_factor=has_its_own)
    door.enter()
    SecondFactor.objects.create(user=door.user, name="authenticator")
    door.client = Client()
    assert door.enter()["location"] == leads_to
    assert (door.user is not None) == has_its_own


@pytest.mark.parametrize(("has_its_own", "leads_to"), [(True, 200), (False, 302)])
def test_where_one_is_required_the_providers_counts_if_it_has_one(at, settings, has_its_own, leads_to):
    settings.WEIR_REQUIRE_TOTP = "everybody"
    door = at(is_second_factor=has_its_own)
    door.enter()
    assert door.client.get("/").status_code == leads_to


# --- groups --------------------------------------------------------------------------------------------------------


def test_groups_give_roles_and_the_most_of_several(at, acme, globex):
    door = at()
    signin.add_rule(door.provider, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    signin.add_rule(door.provider, actor=None, group="leads", tenant=acme, role=Role.ADMIN)
    signin.add_rule(door.provider, actor=None, group="payers", tenant=globex, role=Role.VIEWER)
    door.enter(groups=["devs", "leads", "payers", "others"])
    assert roles(door.user) == {"Acme": "admin", "Globex": "viewer"}


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["devs"]}}),
        ("https://weir.example/groups", {"https://weir.example/groups": ["devs"]}),
        ("groups", {"groups": "devs"}),
    ],
)
def test_groups_are_found_where_providers_put_them(at, acme, claim, told):
    door = at(groups_claim=claim)
    signin.add_rule(door.provider, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    door.enter(**told)
    assert roles(door.user) == {"Acme": "developer"}


@pytest.mark.parametrize("groups", [None, 7, {"devs": 1}, [["devs"]], [None], "dev", ["DEVS"]])
def test_what_is_no_group_gives_nothing(at, acme, groups):
    door = at()
    signin.add_rule(door.provider, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    door.enter(groups=groups)
    assert roles(door.user) == {}


def test_groups_that_only_give_take_nothing(at, acme):
    door = at()
    signin.add_rule(door.provider, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    door.enter(groups=["devs"])
    Membership.objects.update(role=Role.ADMIN)
    door.enter(groups=["devs"])
    door.enter(groups=[])
    assert roles(door.user) == {"Acme": "admin"}


def test_groups_that_decide_change_and_take_roles(at, acme, globex):
    door = at(groups_decide=True)
    for group, role in (("devs", Role.DEVELOPER), ("leads", Role.ADMIN)):
        signin.add_rule(door.provider, actor=None, group=group, tenant=acme, role=role)
    door.enter(groups=["leads"])
    ada = door.user
    Membership.objects.create(user=ada, tenant=globex, role=Role.VIEWER)
    door.enter(groups=["devs"])
    assert roles(ada) == {"Acme": "developer", "Globex": "viewer"}
    door.enter(groups=[])
    assert roles(ada) == {"Globex": "viewer"}, "no rule speaks of Globex"
    assert door.user == ada


def test_the_last_owner_stays_whatever_the_groups_say(at, acme):
    door = at(groups_decide=True)
    signin.add_rule(door.provider, actor=None, group="owners", tenant=acme, role=Role.OWNER)
    door.enter(groups=["owners"])
    door.enter(groups=[])
    assert roles(door.user) == {"Acme": "owner"}
    factories.member(acme, role=Role.OWNER)
    door.enter(groups=[])
    assert roles(door.user) == {}


def test_groups_that_are_left_out_for_being_many_decide_nothing(at, acme):
    door = at(groups_decide=True)
    signin.add_rule(door.provider, actor=None, group="devs", tenant=acme, role=Role.DEVELOPER)
    door.enter(groups=["devs"])
    ada = door.user
    door.client = Client()
    assert reason(door.enter(_claim_names={"groups": "src1"})) == "too many groups"
    assert roles(ada) == {"Acme": "developer"}


def test_groups_make_operators_and_unmake_them(at, operator):
    door = at(groups_decide=True)
    signin.add_rule(door.provider, actor=None, group="ops", is_operator=True)
    signin.add_rule(door.provider, actor=None, group="desk", is_staff=True)
    door.enter(groups=["ops"])
    assert (door.user.is_staff, door.user.is_superuser) == (True, True)
    door.enter(groups=["desk"])
    assert (door.user.is_staff, door.user.is_superuser) == (True, False)
    door.enter(groups=[])
    assert (door.user.is_staff, door.user.is_superuser) == (False, False)
    assert User.objects.get(pk=operator.pk).is_superuser, "who signs in otherwise is not touched"


def test_the_last_operator_stays_whatever_the_groups_say(at):
    door = at(groups_decide=True)
    signin.add_rule(door.provider, actor=None, group="ops", is_operator=True)
    door.enter(groups=["ops"])
    door.enter(groups=[])
    assert door.user.is_superuser
