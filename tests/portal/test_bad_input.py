"""What cannot be is told at its field, in every form of the portal, and nothing is saved.

The forms are those that the pages hold; a form that stands in no table here fails.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.test import Client
from django.urls import reverse

from apps import portal
from apps.alerts import services as alerts
from apps.keys import grants
from apps.portal import account, budget_forms, device, entrance, joining, key_forms, playground
from apps.portal import forms as portal_forms
from apps.tenants import invitations
from apps.tenants.models import Role
from tests import factories
from tests.bad_values import bad, rounds, untold
from tests.control.desk import fields
from tests.portal.test_who_may import MAY, POSTED, address, things  # noqa: F401  # a fixture

pytestmark = pytest.mark.once

QUERIES = {
    "alerts-rule-new": {"kind": "budget"},
    "costs-focus": {"kind": "csv"},
    "usage": {"span": "other"},
    "costs": {"span": "custom"},
}
ASKED = {"usage", "costs", "audit", "costs-focus"}  # by their addresses
DIRECT: dict[type[forms.Form], set[str]] = {  # and what takes a text as long: their pages ask for more before
    entrance.CodeForm: set(),
    account.AppCodeForm: set(),
    budget_forms.DecisionForm: set(),
    playground._Asked: {"system"},
}
OUTSIDE = {"sign_in": entrance.PasswordForm, "device": device.CodeForm, "account_password": account.PasswordForm}
ELSEWHERE = {  # below
    *(joining.AccountForm, device.ProjectForm),
    *(portal_forms.PortalForm, key_forms.ScopeForm),  # what others are made from
    *(budget_forms.TermsForm, budget_forms.DaysForm),
}


def everything() -> dict[str, int]:
    return {model._meta.label: model._base_manager.count() for model in apps.get_models()}


def every_form() -> set[type[forms.Form]]:
    found = set()
    for module in pkgutil.iter_modules(portal.__path__):
        loaded = import_module(f"{portal.__name__}.{module.name}")
        found |= {
            each
            for _, each in inspect.getmembers(loaded, inspect.isclass)
            if issubclass(each, forms.BaseForm) and each.__module__ == loaded.__name__
        }
    return found


def opened(visitor: Any, name: str, things: Any) -> Any:  # noqa: F811
    """The form of a page, None: it has none, and what a browser would send of it."""
    response = visitor.client.get(address(visitor, name, things), QUERIES.get(name, {}))
    form = response.context.get("form") if response.context is not None else None
    return form, fields(response.content.decode()) if form is not None else {}


def told(visitor: Any, name: str, things: Any, values: dict[str, Any]) -> tuple[int, set[str]]:  # noqa: F811
    url = address(visitor, name, things)
    if name in ASKED:
        response = visitor.client.get(url, QUERIES.get(name, {}) | values)
    else:
        response = visitor.client.post(url + query(name), values)
    if response.context is None or "form" not in response.context:
        return response.status_code, set()
    return response.status_code, set(response.context["form"].errors)


def query(name: str) -> str:
    return "".join(f"?{key}={value}" for key, value in QUERIES.get(name, {}).items())


def test_a_wrong_value_is_told_at_its_field_and_nothing_is_saved(visit, things, alice):  # noqa: F811
    visitor = visit(alice)
    tried, taken = set(), []
    for name in MAY.keys() - POSTED:
        form, whole = opened(visitor, name, things)
        if form is None:
            continue
        tried.add(type(form))
        before = everything()
        for wrong in rounds(form.fields):
            status, found = told(visitor, name, things, whole | wrong)
            assert status in (200, 422), (name, status, wrong)
            for each in wrong.keys() - found:
                _, alone = told(visitor, name, things, whole | {each: wrong[each]})
                taken += [(name, each, wrong[each][:30])] if each not in alone else []
        assert everything() == before, name
    assert taken == []
    known = tried | DIRECT.keys() | set(OUTSIDE.values()) | ELSEWHERE
    assert every_form() == known & every_form(), "a form without a test"


@pytest.mark.parametrize("form", DIRECT, ids=lambda form: form.__name__)
def test_what_pages_ask_a_form_alone_is_refused(form):
    for wrong in rounds(form.base_fields):
        assert untold(form(wrong), wrong) <= DIRECT[form]


@pytest.mark.parametrize("page", OUTSIDE)
def test_what_is_asked_outside_a_tenant_is_refused_at_its_field(page, visit, alice):
    alice.set_password("a password that there is")
    alice.save()
    client = visit(None if page == "sign_in" else alice).client
    for wrong in rounds(OUTSIDE[page].base_fields):
        response = client.post(reverse(page), wrong)
        assert response.status_code in (200, 422)
        assert isinstance(response.context["form"], OUTSIDE[page])
        assert wrong.keys() <= response.context["form"].errors.keys()


def test_an_invitation_makes_no_account_of_what_cannot_be_one(acme, alice):
    invited = invitations.invite(acme, actor=alice, email="new@example.com", role=Role.VIEWER)
    url = reverse("portal:invitation", args=[invited.token])
    before = everything()
    good = {"username": "newcomer", "password": "correct horse battery"}
    cases = [good | wrong for wrong in rounds(joining.AccountForm.base_fields)]
    cases += [good | {"username": taken} for taken in ("alice", "ALICE", "a b", "<x>")]
    cases += [good | {"password": weak} for weak in ("short", "1234567890123")]
    for values in cases:
        response = Client().post(url, values)
        assert response.status_code == 422, values
        found = response.context["form"].errors
        assert found
        assert {name for name in values if values[name] != good.get(name)} <= found.keys(), (values, found)
    assert everything() == before


def test_no_program_is_let_in_for_what_is_no_project_of_ones_own(visit, bob, globex):
    theirs = factories.project(globex)
    begun = grants.begin(client="claude-code/2.1", address="192.0.2.1")
    client = visit(bob).client
    before = everything()
    for word in (str(theirs.pk), *bad(forms.ChoiceField()), "-1", ""):
        values = {"user_code": begun.user_code, "decision": "approve", "project": word}
        response = client.post(reverse("device"), values)
        assert response.status_code == 422, word
        assert "project" in response.context["form"].errors
    assert everything() == before


PAST = "2001-01-01T00:00"
REFUSED: list[tuple[str, str, dict[str, Any]]] = [  # page, field, what is typed into an otherwise good form
    ("keys-new", "expires_at", {"name": "new", "lifetime": "other", "expires_at": PAST}),
    ("keys-new", "networks", {"name": "new", "networks": "300.0.0.0/8"}),
    ("keys-new", "networks", {"name": "new", "networks": "10.0.0.1/8"}),
    ("keys-new", "networks", {"name": "new", "networks": ",,"}),
    ("keys-new", "project", {"name": "new", "project": "THEIRS"}),
    ("keys-new", "owner", {"name": "new", "owner": "CHARLIE"}),
    ("keys-edit", "expires_at", {"expires_at": PAST}),
    ("keys-edit", "project", {"project": "THEIRS"}),
    ("keys-revoke", "typed", {"typed": "laptop"}),
    ("budgets-new", "subject", {"amount": "1", "subject": "project-THEIRS"}),
    ("budgets-new", "subject", {"amount": "1", "subject": "member-CHARLIE"}),
    ("budgets-ask", "until", {"amount": "1", "reason": "why", "until": PAST}),
    ("budgets-ask", "until", {"amount": "1", "reason": "why", "until": "9999-12-31T00:00"}),
    ("budgets-ask", "amount", {"amount": "0", "reason": "why"}),
    ("projects-new", "name", {"name": "Website"}),
    ("members-invite", "role", {"email": "a@example.com", "role": "operator"}),
    ("alerts-rule-new", "project", {"name": "new", "project": "THEIRS"}),
    ("alerts-rule-new", "destinations", {"name": "new", "destinations": "PLACE"}),
    ("alerts-destination-new", "target", {"name": "new", "kind": "email", "target": "no address"}),
    ("alerts-destination-new", "target", {"name": "new", "kind": "webhook", "target": "http://example.com/"}),
    ("alerts-destination-new", "target", {"name": "new", "kind": "webhook", "target": "https://10.0.0.1/"}),
    ("alerts-destination-new", "target", {"name": "new", "kind": "slack", "target": "https://[::1]/"}),
    ("alerts-destination-new", "target", {"name": "new", "kind": "slack", "target": "javascript:alert(1)"}),
    ("settings", "timezone", {"timezone": "Europe/Atlantis"}),
    ("settings", "timezone", {"timezone": "../../etc/passwd"}),
    ("settings", "name", {"name": "Globex"}),
    ("costs-focus", "last", {"kind": "csv", "first": "2026-02-01", "last": "2026-01-01"}),
    ("usage", "to", {"span": "other", "from": "2026-02-01T00:00", "to": "2026-01-01T00:00"}),
    ("usage", "to", {"span": "other", "to": "9999-12-31T23:59"}),
    ("usage", "from", {"span": "other", "from": "0001-01-01T00:00"}),
    ("costs", "to", {"span": "custom", "from": "2026-02-01", "to": "2999-01-01"}),
    ("costs", "from", {"span": "custom", "from": "0001-01-01"}),
]


def test_what_is_past_of_another_tenant_or_there_already_is_told_at_its_field(visit, things, alice, charlie, globex):  # noqa: F811
    visitor = visit(alice)
    place = alerts.create_destination(actor=charlie, tenant=globex, name="M", kind="email", target="c@example.com")
    theirs = {"THEIRS": factories.project(globex).pk, "CHARLIE": charlie.pk, "PLACE": place.destination.pk}
    before = everything()
    found = {}
    for page, field, values in REFUSED:
        _, whole = opened(visitor, page, things)
        for word, pk in theirs.items():
            values = {name: value.replace(word, str(pk)) for name, value in values.items()}
        found[page, field, str(values)] = told(visitor, page, things, whole | values)
    assert [case for case, (status, names) in found.items() if status not in (200, 422) or case[1] not in names] == []
    assert everything() == before
