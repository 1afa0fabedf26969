"""Tokens of a trusted issuer instead of a key: who is let in, as whom, and what holds for them."""

from __future__ import annotations

import time

import pytest

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import Record
from apps.gateway import bearers
from apps.keys import issuers
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, told
from tests.gateway.tokens import call, issuer, refused, trust, trusted
from tests.issuers import JWKS, signed
from tests.servers import until

__all__ = ["issuer", "trusted"]


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_token_calls_for_the_person_whom_it_names(gateway, world, issuer, trusted, path):
    gateway.refresh()
    assert call(gateway, signed(issuer.claims()), path).status_code == 200
    gateway.settle()
    row = Entry.objects.get()
    assert (row.user_id, row.tenant_id, row.project_id) == (world.ada.pk, world.tenant.pk, world.project.pk)
    assert row.key_id is None
    assert row.cost_nano == world.price_of("claude-test" if path == ANTHROPIC else "gpt-test", row)


def test_it_may_stand_in_either_header_and_see_the_models(gateway, issuer, trusted):
    gateway.refresh()
    token = signed(issuer.claims())
    assert ask(gateway, ANTHROPIC, key=token).status_code == 200
    listed = gateway.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})
    assert {"claude-test", "gpt-test"} <= {model["id"] for model in listed.json()["data"]}


def test_it_is_verified_once(gateway, issuer, trusted):
    gateway.refresh()
    token = signed(issuer.claims())
    before = gateway.engine.configuration.tokens.loads
    for _ in range(3):
        assert call(gateway, token).status_code == 200
    assert gateway.engine.configuration.tokens.loads == before + 1
    assert issuer.asked[JWKS] == 1


@pytest.mark.attack("F22")
def test_two_tokens_that_begin_alike_are_two_people(gateway, world, issuer, trusted):
    bob = accounts.create_user(actor=None, username="bob")
    tenants.add_member(world.tenant, actor=None, user=bob)
    identities.link(bob, actor=None, issuer=issuer.url, subject="bob")
    gateway.refresh()
    first, second = (signed({"iss": issuer.url, **issuer.claims(sub=who)}) for who in ("ada", "bob"))
    assert first[:60] == second[:60]
    for token in (first, second, first):
        assert call(gateway, token).status_code == 200
    gateway.settle()
    users = Entry.objects.order_by("id").values_list("user_id", flat=True)
    assert list(users) == [world.ada.pk, bob.pk, world.ada.pk]


def test_claims_say_which_tenant_and_project(gateway, world, issuer):
    other = tenants.create_tenant(actor=None, name="Umbrella")
    lab = tenants.create_project(other, actor=None, name="Lab")
    trust(world, issuer, tenant=None, tenant_claim="org", project=None, project_claim="team")
    ada = accounts.create_user(actor=None, username="ada")
    identities.link(ada, actor=None, issuer=issuer.url, subject="ada")
    tenants.add_member(other, actor=None, user=ada)
    gateway.refresh()
    assert call(gateway, signed(issuer.claims(org="umbrella", team="lab"))).status_code == 200
    gateway.settle()
    row = Entry.objects.get()
    assert (row.tenant_id, row.project_id, row.user_id) == (other.pk, lab.pk, ada.pk)
    for claims in (
        *({"org": "acme", "team": "rockets"}, {"org": "umbrella", "team": "rockets"}, {"org": "umbrella"}),
        *(
            {"team": "lab"},
            {"org": ["umbrella"], "team": "lab"},
            {"org": "umbrella", "team": "\0"},
            {"org": 7},
            {"org": "\ud800", "team": "lab"},
        ),
    ):
        refused(gateway, signed(issuer.claims(**claims)))


def test_a_project_by_claim_goes_before_the_issuers_own(gateway, world, issuer, trusted):
    boats = tenants.create_project(world.tenant, actor=None, name="Boats")
    issuers.update_issuer(trusted, actor=None, project_claim="team")
    gateway.refresh()
    assert call(gateway, signed(issuer.claims(team="boats"))).status_code == 200
    assert call(gateway, signed(issuer.claims())).status_code == 200
    gateway.settle()
    projects = Entry.objects.order_by("id").values_list("project_id", flat=True)
    assert list(projects) == [boats.pk, world.project.pk]
    refused(gateway, signed(issuer.claims(team="planes")))
    refused(gateway, signed(issuer.claims(team=7)))


def test_limits_and_budgets_of_user_project_and_tenant_hold(gateway, world, issuer, trusted):
    limit = world.limit(user=world.ada, requests_per_minute=1)
    gateway.refresh()
    token = signed(issuer.claims())
    assert call(gateway, token).status_code == 200
    assert "for this user" in anthropic_error(call(gateway, token), 429, "rate_limit_error")
    type(limit).objects.all().delete()
    for subject in ({"user": world.ada}, {"project": world.project}, {"tenant": world.tenant}):
        budget = world.budget(amount=1, **subject)
        gateway.refresh()
        assert call(gateway, signed(issuer.claims(jti=str(subject)))).status_code == 429
        type(budget).objects.all().delete()


def test_a_budget_of_the_user_is_charged(gateway, world, issuer, trusted):
    budget = world.budget(user=world.ada, amount=10**12)
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    gateway.settle()
    row = Entry.objects.get()
    window = budget.windows.get()
    assert row.windows == [window.pk]
    assert window.settled == row.cost_nano > 0


def test_what_the_issuer_confines_to_holds(gateway, world, issuer, trusted):
    issuers.update_issuer(trusted, actor=None, models=["claude-test"], endpoints=["messages"])
    gateway.refresh()
    token = signed(issuer.claims())
    assert call(gateway, token).status_code == 200
    assert call(gateway, token, model="gpt-test").status_code == 404
    assert told(OPENAI, call(gateway, token, OPENAI), 403).startswith("this key may not use")
    issuers.update_issuer(trusted, actor=None, networks=["192.0.2.0/24"])
    gateway.refresh()
    assert call(gateway, token).status_code == 403


def test_without_a_key_no_keys_rule_is_anybodys(gateway, world, issuer, trusted):
    """Rules of a key hang on its number; a rule of everybody's has none, and is no token's own."""
    world.limit(key=world.key_row, requests_per_minute=1)
    gateway.refresh()
    for _ in range(3):
        assert call(gateway, signed(issuer.claims())).status_code == 200


def test_a_newcomer_becomes_a_developer_once(gateway, world, issuer):
    trust(world, issuer, welcomes=True)
    gateway.refresh()
    token = signed(issuer.claims(sub="repo:corp/app", name="Build <b>\u202e"))
    assert call(gateway, token).status_code == 200
    user = identities.user_of(issuer.url, "repo:corp/app")
    assert user is not None
    assert user.username.startswith("repo-corp-app-")
    assert (user.first_name, user.is_staff, user.is_superuser) == ("Build <b>", False, False)
    assert not user.has_usable_password()
    member = Membership.objects.get(user=user)
    assert (member.tenant_id, member.role) == (world.tenant.pk, "developer")
    assert {"user.created", "identity.linked", "member.added"} <= set(Record.objects.values_list("action", flat=True))
    gateway.refresh()
    assert call(gateway, token).status_code == 200
    assert User.objects.filter(username__startswith="repo-").count() == 1
    tenants.remove_member(member, actor=None)
    gateway.refresh()
    refused(gateway, token)
    assert not Membership.objects.filter(user=user).exists()


def test_a_stranger_is_refused_where_newcomers_are_not_welcome(gateway, issuer, trusted):
    gateway.refresh()
    refused(gateway, signed(issuer.claims(sub="mallory")))
    refused(gateway, signed(issuer.claims(sub="ad\0a")))
    assert User.objects.count() == 2


@pytest.mark.parametrize("way", ["disabled", "removed", "deactivated", "left", "viewer", "audience", "tenant"])
def test_who_may_no_more_is_refused_by_the_poller_alone(gateway, world, issuer, trusted, way):
    token = signed(issuer.claims())
    gateway.refresh()
    assert call(gateway, token).status_code == 200
    member = Membership.objects.get(user=world.ada)
    if way == "disabled":
        issuers.update_issuer(trusted, actor=None, is_enabled=False)
    elif way == "removed":
        issuers.remove_issuer(trusted, actor=None)
    elif way == "audience":
        issuers.update_issuer(trusted, actor=None, audiences=["other"])
    elif way == "deactivated":
        accounts.deactivate(world.ada, actor=None)
    elif way == "left":
        tenants.remove_member(member, actor=None)
    elif way == "viewer":
        tenants.change_role(member, actor=None, role="viewer")
    else:
        tenants.deactivate_tenant(world.tenant, actor=None)
    # A call that is under way at that moment ends in other words.
    until(lambda: call(gateway, token).json().get("error", {}).get("message") == bearers.REFUSED)
    refused(gateway, token)


def test_a_token_that_ends_is_refused_from_then_on(gateway, issuer, trusted, monkeypatch):
    gateway.refresh()
    claims = issuer.claims()
    token = signed(claims)
    assert call(gateway, token).status_code == 200
    at_its_end = claims["exp"] + trusted.leeway_seconds
    monkeypatch.setattr(bearers.clock, "now", lambda: at_its_end - 1)
    assert call(gateway, token).status_code == 200
    monkeypatch.setattr(bearers.clock, "now", lambda: at_its_end)
    refused(gateway, token)


def test_what_is_not_yet_good_is_good_later(gateway, issuer, trusted):
    issuers.update_issuer(trusted, actor=None, leeway_seconds=0)
    gateway.refresh()
    token = signed(issuer.claims(nbf=time.time() + 0.4, iat=int(time.time()) - 1))
    refused(gateway, token)
    until(lambda: call(gateway, token).status_code == 200)
