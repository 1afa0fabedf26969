"""Every page of a tenant, for everybody who could knock. A page without a row here fails.

Rows are of Acme's owner, admin, developer and viewer, in that order: `y` for whoever may, `-` for 403, `0` for what
does not exist to them. Whoever belongs elsewhere is told of no tenant, an operator may what an owner may, and whoever
has not signed in is asked to.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.utils import timezone

from apps.alerts import services as alerts
from apps.domain import money
from apps.keys import grants
from apps.keys.models import Grant
from apps.portal import urls
from apps.quotas import increases
from apps.quotas import services as quotas
from apps.tenants import invitations
from apps.tenants.models import Membership, Role
from apps.usage import ledger
from tests import factories
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.attack("F27")

MAY = {
    "overview": "yyyy",
    "live": "yyyy",
    "live-who": "yyyy",
    "live-now": "yyyy",
    "start": "yyy-",
    "playground": "yyy-",
    "playground-code": "yyy-",
    "playground-lend": "yyy-",
    "playground-outcome": "yyy-",
    "keys": "yyyy",
    "keys-new": "yyy-",
    "keys-one": "yyy0",
    "keys-edit": "yyy-",
    "keys-rotate": "yyy-",
    "keys-revoke": "yyy0",
    "keys-issued": "yyy0",
    "programs": "yyyy",
    "programs-end": "yyy0",
    "usage": "yyyy",
    "usage-export": "yyyy",
    "usage-call": "yyyy",
    "usage-refused": "yyyy",
    "usage-sessions": "yyyy",
    "usage-session": "yyyy",
    "costs": "yyyy",
    "costs-export": "yyyy",
    "costs-focus": "yy-y",
    "budgets": "yyyy",
    "budgets-new": "yyy-",
    "budgets-one": "yyyy",
    "budgets-edit": "yy--",
    "budgets-remove": "yy--",
    "budgets-ask": "yyyy",
    "budgets-decide": "yy-0",
    "alerts": "yy-y",
    "alerts-rule-new": "yy-y",
    "alerts-rule": "yy-y",
    "alerts-rule-remove": "yy-y",
    "alerts-destination-new": "yy-y",
    "alerts-destination": "yy-y",
    "alerts-test": "yy-y",
    "alerts-rotate": "yy-y",
    "alerts-destination-remove": "yy-y",
    "models": "yyyy",
    "models-one": "yyyy",
    "members": "yyyy",
    "members-invite": "yy--",
    "members-withdraw": "yy--",
    "members-one": "yy--",
    "members-remove": "yy--",
    "projects": "yyyy",
    "projects-new": "yy--",
    "projects-one": "yy--",
    "projects-switch": "yy--",
    "audit": "yy--",
    "settings": "y---",
}
POSTED = {
    "programs-end",
    *("playground-code", "playground-lend", "budgets-remove", "budgets-decide", "members-withdraw", "projects-switch"),
    *("alerts-rule-remove", "alerts-test", "alerts-rotate", "alerts-destination-remove"),
}
ASKED = {"usage-session": {"id": "a session"}}
SAID = {"budgets-decide": {"to": "approve"}}
SHARED = {"models-one", "playground-outcome"}  # a model is everybody's, and any call may be on its way
MEANT = {403: "-", 404: "0"}
ROLES = ("owner", "admin", "developer", "viewer", "operator", "another tenant's owner", "nobody")


def pages():
    """Names, with the names of their arguments."""
    return {page.name: [a for a in page.pattern.converters if a != "tenant"] for page in urls.tenant_pages}


def address(visitor, name, things):
    found = visitor.url(name, **{argument: things[argument] for argument in pages()[name]})
    return f"{found}?{urlencode(ASKED[name])}" if name in ASKED else found


@pytest.fixture
def things(acme, website, alice, bob):
    """One of each that pages are about, Bob's where it is somebody's."""
    key = factories.key(website, name="Laptop", user=bob).key
    budget = quotas.create_budget(actor=None, project=website, amount=money.NANO, period="month")
    later = timezone.now() + timedelta(days=2)
    rule = alerts.create_rule(
        actor=alice,
        tenant=acme,
        kind="unconfirmed",
        name="Unknown costs",
        settings={"calls": 5},
    )
    whose = {"tenant_id": acme.pk, "project_id": website.pk, "user_id": bob.pk, "key_id": key.pk}
    call = outcome(intent(**whose, **{"session": ASKED["usage-session"]["id"]}), cost=7)
    ledger.post([call])
    place = alerts.create_destination(actor=alice, tenant=acme, name="Mail", kind="email", target="a@example.com")
    return {
        "key": key.pk,
        "budget": budget.pk,
        "increase": increases.request(budget, actor=bob, amount=5, reason="A workshop", until=later).pk,
        "rule": rule.pk,
        "destination": place.destination.pk,
        "model": factories.model().pk,
        "member": Membership.objects.get(user=bob).pk,
        "invitation": invitations.invite(acme, actor=alice, email="new@example.com", role=Role.VIEWER).invitation.pk,
        "project": website.pk,
        "entry": ledger.entry_id(call),
        "call": call.intent.request_id.hex,
        "program": signed_in(bob, website),
    }


def signed_in(user, project):
    """A program of somebody's."""
    begun = grants.begin(client="claude-code/2.1", address="192.0.2.1")
    grants.approve(grants.awaited(begun.user_code), actor=user, project=project)
    grants.exchange(begun.device_code)
    return Grant.objects.get(user=user).pk


def answer(visitor, name, things):
    """What a request comes to; what it changes is undone."""
    url = address(visitor, name, things)
    with transaction.atomic():
        response = visitor.client.post(url, SAID.get(name, {})) if name in POSTED else visitor.client.get(url)
        if response.streaming:
            b"".join(response.streaming_content)
        transaction.set_rollback(True)
    return response


def test_every_page_has_a_row(figure):
    assert pages().keys() == MAY.keys()
    figure("F27", "pages of the portal × roles", len(MAY) * len(ROLES), least=350)


@pytest.mark.parametrize(("place", "who"), [*enumerate(["alice", "ann", "bob", "vera"])])
def test_members_may_what_their_role_says(request, visit, things, place, who):
    visitor = visit(request.getfixturevalue(who))
    found = {name: answer(visitor, name, things).status_code for name in MAY}
    assert [name for name, status in found.items() if status == 405 or status >= 500] == []
    assert {name: MEANT.get(status, "y") for name, status in found.items()} == {
        name: row[place] for name, row in MAY.items()
    }


def test_an_operator_may_what_an_owner_may(visit, things, operator):
    visitor = visit(operator)
    found = {name: MEANT.get(answer(visitor, name, things).status_code, "y") for name in MAY}
    assert found == {name: row[0] for name, row in MAY.items()}


def test_to_whoever_belongs_elsewhere_the_tenant_does_not_exist(visit, things, charlie):
    visitor = visit(charlie)
    assert {answer(visitor, name, things).status_code for name in MAY} == {404}


def test_what_is_acmes_does_not_exist_at_another_tenants_pages(visit, things, charlie, globex):
    """Its owner may everything there, and finds nothing."""
    visitor = visit(charlie, at=globex)
    found = {name: answer(visitor, name, things).status_code for name in MAY if pages()[name] and name not in SHARED}
    assert set(found.values()) == {404}, found


def test_whoever_has_not_signed_in_is_asked_to(visit, things):
    visitor = visit(None)
    for name in MAY:
        response = answer(visitor, name, things)
        assert response.status_code == 302, name
        assert response["Location"].startswith("/sign-in/?next="), name


@pytest.mark.attack("F29")
def test_nothing_is_changed_by_a_form_from_another_site(visit, things, alice):
    visitor = visit(alice)
    visitor.client.handler.enforce_csrf_checks = True
    for name in MAY:
        assert visitor.client.post(address(visitor, name, things)).status_code in (403, 405), name
