"""Trusted issuers and managed settings in the admin: what is told at the field, and what is recorded."""

from __future__ import annotations

import json

import pytest

from apps.audit.models import Record, Revision
from apps.keys import issuers
from apps.keys.models import Issuer
from apps.policies.models import LARGEST_SETTINGS, ManagedSettings
from tests import factories

pytestmark = pytest.mark.django_db
CORP = {
    "name": "Corp",
    "url": "https://id.example.com",
    "audiences": "weir, api",
    "algorithms": ["RS256", "ES256"],
    "required_claims": "groups: eng, ops\nhttps://example.com/env: prod",
}


def errors(response) -> set[str]:
    assert response.status_code == 200
    return set(response.context["adminform"].form.errors)


def test_an_issuer_is_made_changed_and_removed_on_the_record(desk, acme, website):
    response = desk.send("keys_issuer_add", **CORP, tenant=acme.pk, project=website.pk)
    assert response.status_code == 302, errors(response)
    issuer = Issuer.objects.get()
    assert (issuer.audiences, issuer.algorithms) == (["weir", "api"], ["RS256", "ES256"])
    assert issuer.required_claims == {"groups": ["eng", "ops"], "https://example.com/env": ["prod"]}
    assert (issuer.is_enabled, issuer.welcomes, issuer.models, issuer.longest_seconds) == (True, False, None, 86_400)
    assert issuer.revision == Revision.objects.get(area="accounts").number
    desk.send("keys_issuer_change", issuer.pk, leeway_seconds=5)
    desk.act("keys_issuer_changelist", "disable", issuer)
    issuer.refresh_from_db()
    assert (issuer.leeway_seconds, issuer.is_enabled) == (5, False)
    assert "groups: eng, ops" in desk.text("keys_issuer_change", issuer.pk)
    assert "leeway" in desk.text("keys_issuer_history", issuer.pk).lower()
    assert issuers.snapshot_issuers() == {}
    desk.send("keys_issuer_delete", issuer.pk)
    told = list(Record.objects.filter(target_type="keys.issuer").order_by("id").values_list("action", flat=True))
    assert told == ["issuer.created", "issuer.updated", "issuer.updated", "issuer.removed"]
    assert not Issuer.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"url": ""}, "url"),
        ({"url": " https://id.example.com "}, None),  # the field takes the spaces away
        ({"url": "id.example.com"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user:pass@id.example.com"}, "url"),
        ({"jwks_url": "javascript:alert(1)"}, "jwks_url"),
        ({"jwks_url": "https://id.example.com/" + "k" * 500}, "jwks_url"),
        ({"audiences": ""}, "audiences"),
        ({"audiences": ", ,"}, "audiences"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"leeway_seconds": "301"}, "leeway_seconds"),
        ({"leeway_seconds": "-1"}, "leeway_seconds"),
        ({"longest_seconds": "0"}, "longest_seconds"),
        ({"required_claims": "groups"}, "required_claims"),
        ({"required_claims": "groups:"}, "required_claims"),
        ({"required_claims": "a: b\na: c"}, "required_claims"),
        ({"tenant": "", "tenant_claim": ""}, "__all__"),
        ({"tenant_claim": "org"}, "__all__"),
        ({"project": "", "project_claim": ""}, "__all__"),
        ({"tenant": "999999"}, "tenant"),
        ({"models": "no-such-model"}, "models"),
        ({"endpoints": ["teapot"]}, "endpoints"),
        ({"networks": "10.0.0.0/99"}, "networks"),
        ({"priority": "101"}, "priority"),
    ],
)
def test_what_cannot_be_is_told_at_the_field(desk, acme, website, changes, field):
    response = desk.send("keys_issuer_add", **CORP | {"tenant": acme.pk, "project": website.pk} | changes)
    if field is None:
        assert response.status_code == 302
    else:
        assert field in errors(response)
        assert not Issuer.objects.exists()


def test_a_project_of_another_tenant_and_a_name_twice(desk, acme, website):
    other = factories.project(factories.tenant("Globex"))
    assert "project" in errors(desk.send("keys_issuer_add", **CORP, tenant=acme.pk, project=other.pk))
    desk.send("keys_issuer_add", **CORP, tenant=acme.pk, project=website.pk)
    assert {"name", "url"} <= errors(desk.send("keys_issuer_add", **CORP, tenant=acme.pk, project=website.pk))


def test_managed_settings_are_written_as_json_and_recorded(desk, acme):
    found = {"permissions": {"deny": ["WebFetch"]}, "ü": [1, None]}
    assert desk.send("policies_managedsettings_add", name="All", settings=json.dumps(found)).status_code == 302
    row = ManagedSettings.objects.get()
    assert row.settings == found
    assert "ü" in desk.text("policies_managedsettings_change", row.pk)
    desk.send("policies_managedsettings_change", row.pk, settings="", tenant=acme.pk, role="developer")
    row.refresh_from_db()
    assert (row.settings, row.tenant, row.role) == ({}, acme, "developer")
    record = Record.objects.get(action="managedsettings.updated")
    assert record.before["settings"] == found
    assert "Developers of Acme" in desk.text("policies_managedsettings_changelist")
    desk.send("policies_managedsettings_delete", row.pk)
    assert not ManagedSettings.objects.exists()


@pytest.mark.parametrize(
    "settings", ["[]", "7", "{", '"text"', '{"a": NaN}', '{"a": "\\ud800"}', '{"a": "' + "x" * LARGEST_SETTINGS + '"}']
)
def test_what_are_no_settings_is_told(desk, settings):
    response = desk.send("policies_managedsettings_add", name="All", settings=settings)
    assert "settings" in errors(response)
    assert not ManagedSettings.objects.exists()


def test_settings_of_a_project_are_its_tenants(desk, acme):
    other = factories.project(factories.tenant("Globex"))
    response = desk.send("policies_managedsettings_add", name="All", tenant=acme.pk, project=other.pk, settings="{}")
    assert "project" in errors(response)
