"""Identity providers and second factors in the admin: operators' to change, and a secret never comes out."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts import identities
from apps.audit.models import Record
from apps.catalog import vault
from apps.signin.models import GroupRule, IdentityProvider, SecondFactor
from apps.tenants.models import Role
from tests import factories
from tests.control.desk import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.once]
SECRET = "quagga-quagga-quagga"


def typed(**changes: Any) -> dict[str, Any]:
    """The form as it is filled in."""
    return {
        **{"name": "Example", "slug": "example", "issuer": "https://id.example.com", "client_id": "weir"},
        **{"secret": SECRET, "scopes": "openid email", "algorithms": ["RS256", "EdDSA"], "required_claims": "{}"},
        **{"groups_claim": "groups", "default_role": "", "tenant": "", "is_enabled": "on", "creates_people": "on"},
        **{"rules-TOTAL_FORMS": "0", "rules-INITIAL_FORMS": "0"},
    } | changes


def saved(desk: Desk, row: IdentityProvider | None = None, **changes: Any) -> Any:
    url = desk.url("signin_identityprovider_add") if row is None else desk.url("signin_identityprovider_change", row.pk)
    return desk.client.post(url, typed(**changes), follow=True)


def test_an_operator_makes_one_with_groups(desk, acme):
    rule = {"rules-TOTAL_FORMS": "1", "rules-0-group": "devs", "rules-0-tenant": acme.pk, "rules-0-role": "developer"}
    page = saved(desk, **rule).content.decode()
    assert SECRET not in page
    row = IdentityProvider.objects.get()
    assert vault.open_one(row.client_secret, place=row.place) == SECRET
    assert (row.algorithms, row.creates_people, row.tenant) == (["RS256", "EdDSA"], True, None)
    made = GroupRule.objects.get()
    assert (made.group, made.tenant, made.role) == ("devs", acme, Role.DEVELOPER)
    told = list(Record.objects.filter(area="sign_in").order_by("pk").values_list("action", "actor_id"))
    assert [action for action, _ in told] == [
        *("identity_provider.created", "identity_provider.secret_set", "grouprule.created"),
    ]
    assert {actor for _, actor in told} == {desk.user.pk}
    for kind in ("change", "history"):
        text = desk.text(f"signin_identityprovider_{kind}", row.pk)
        assert SECRET not in text
        assert row.client_secret not in text


def test_an_empty_secret_keeps_the_one_that_is_there_but_not_for_another_issuer(desk):
    saved(desk)
    row = IdentityProvider.objects.get()
    saved(desk, row, secret="", name="Renamed")
    row.refresh_from_db()
    assert (row.name, vault.open_one(row.client_secret, place=row.place)) == ("Renamed", SECRET)
    page = saved(desk, row, secret="", issuer="https://id.example.org").content.decode()
    assert "is gone" in page
    row.refresh_from_db()
    assert (row.issuer, row.client_secret) == ("https://id.example.org", "")


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"issuer": "http://169.254.169.254/"}, "issuer", "never be called"),
        ({"issuer": "http://10.1.2.3"}, "issuer", "has not been opened"),
        ({"issuer": "x" * 301}, "issuer", "at most 300"),
        ({"algorithms": []}, "algorithms", "required"),
        ({"algorithms": ["none"]}, "algorithms", "not one of the available"),
        ({"scopes": "email"}, "scopes", "openid"),
        ({"slug": "../x"}, "slug", "slug"),
        ({"tenant": "987654"}, "tenant", "not one of the available"),
        ({"required_claims": "[1]"}, "required_claims", "claim"),
        ({"required_claims": "{"}, "required_claims", "valid JSON"),
        ({"default_role": "owner"}, "__all__", "needs the tenant"),
    ],
)
def test_what_will_not_do_is_told_at_its_field_and_saves_nothing(desk, changes, field, told):
    page = saved(desk, **changes)
    errors = page.context["adminform"].form.errors
    assert list(errors) == [field]
    assert told in str(errors[field])
    assert not IdentityProvider.objects.exists()


def test_a_rule_that_will_not_do_is_told_and_saves_nothing(desk, acme, globex):
    rule = {"rules-TOTAL_FORMS": "1", "rules-0-group": "ops", "rules-0-is_operator": "on"}
    page = saved(desk, tenant=str(acme.pk), **rule).content.decode()
    assert "is for Acme alone" in page
    assert not IdentityProvider.objects.exists()


def test_staff_look_and_change_nothing(desk):
    saved(desk)
    row = IdentityProvider.objects.get()
    clerk = Desk(factories.staff("signin.view_identityprovider"))
    assert clerk.get("signin_identityprovider_change", row.pk).status_code == 200
    assert clerk.client.post(clerk.url("signin_identityprovider_change", row.pk), typed(name="x")).status_code == 403
    assert clerk.client.post(clerk.url("signin_identityprovider_add"), typed(name="x")).status_code == 403


def test_an_operator_removes_somebodys_second_factor(desk, alice):
    row = SecondFactor.objects.create(user=alice, name="authenticator")
    desk.client.post(desk.url("signin_secondfactor_delete", row.pk), {"post": "yes"})
    assert not SecondFactor.objects.exists()
    told = Record.objects.get(action="second_factor.removed")
    assert (told.actor_id, told.target_id) == (desk.user.pk, str(alice.pk))
    alice.refresh_from_db()
    assert alice.session_epoch == 1


def test_an_operator_takes_an_identity_away(desk, alice):
    row = identities.link(alice, actor=None, issuer="https://id.example.com", subject="7")
    assert "https://id.example.com" in desk.text("accounts_identity_changelist", q="alice")
    desk.client.post(desk.url("accounts_identity_delete", row.pk), {"post": "yes"})
    assert identities.user_of("https://id.example.com", "7") is None
    assert Record.objects.get(action="identity.unlinked").actor_id == desk.user.pk
