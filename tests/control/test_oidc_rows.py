"""Providers and rules of groups that may not be, and whom a provider's secret is for."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.audit.models import Record
from apps.signin import services as signin
from apps.signin.models import IdentityProvider

pytestmark = pytest.mark.django_db


def made(name: str = "a", **fields: Any) -> IdentityProvider:
    good = {"name": name, "slug": name, "client_id": "weir", "issuer": "https://id.example.org"}
    return signin.create_provider(actor=None, secret="between us", **(good | fields))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"issuer": "http://169.254.169.254"}, "issuer"),
        ({"issuer": "http://10.0.0.1"}, "issuer"),
        ({"issuer": "ftp://example.com"}, "issuer"),
        ({"issuer": "https://example.com/?a=b"}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": "RS256"}, "algorithms"),
        ({"scopes": "email"}, "scopes"),
        ({"scopes": "openid\nemail"}, "scopes"),
        ({"required_claims": {"hd": 7}}, "required_claims"),
        ({"required_claims": ["hd"]}, "required_claims"),
        ({"default_role": "developer"}, "needs the tenant"),
        ({"default_role": "emperor"}, "default_role"),
    ],
)
def test_a_provider_that_may_not_be(db, fields, told):
    with pytest.raises(ValidationError, match=told):
        made(**fields)
    assert not IdentityProvider.objects.exists()


def test_rules_that_may_not_be(acme, globex):
    everybodys, acmes = made(), made("b", tenant=acme)
    for provider, fields in (
        (everybodys, {}),
        (everybodys, {"tenant": acme}),
        (everybodys, {"role": "owner"}),
        (acmes, {"tenant": globex, "role": "owner"}),
        (acmes, {"is_staff": True}),
        (acmes, {"is_operator": True}),
    ):
        with pytest.raises(ValidationError):
            signin.add_rule(provider, actor=None, group="g", **fields)
    signin.add_rule(everybodys, actor=None, group="g", is_operator=True)
    with pytest.raises(ValidationError, match="outside this tenant"):
        signin.update_provider(everybodys, actor=None, tenant=acme)


def test_a_secret_is_for_one_issuer_and_client(db):
    provider = made()
    assert provider.client_secret
    signin.update_provider(provider, actor=None, name="Another name")
    assert IdentityProvider.objects.get().client_secret
    signin.update_provider(provider, actor=None, issuer="https://id.example.com")
    assert IdentityProvider.objects.get().client_secret == ""
    told = Record.objects.filter(target_type="signin.identityprovider").values_list("before", "after")
    assert not any("between us" in str(row) or "v1." in str(row) for row in told)
