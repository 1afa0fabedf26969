"""An issuer that the world trusts, and calls with its tokens. The fixtures are imported by the tests that need them."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.gateway import bearers
from apps.keys import issuers
from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, ask, told
from tests.issuers import JWKS, KEYS, Issuer, issuing


@pytest.fixture
def issuer():
    bearers.forget()
    with issuing() as server:
        yield server


@pytest.fixture
def trusted(world, issuer):
    """The issuer speaks for Acme's Rockets; ada is a developer there."""
    world.ada = accounts.create_user(actor=None, username="ada")
    tenants.add_member(world.tenant, actor=None, user=world.ada)
    identities.link(world.ada, actor=None, issuer=issuer.url, subject="ada")
    return trust(world, issuer)


def trust(world: Any, issuer: Issuer, **fields: Any) -> Any:
    usual = {
        **{"name": "Corp", "url": issuer.url, "audiences": ["weir"], "jwks_url": issuer.url + JWKS},
        **{"algorithms": ["RS256"], "tenant": world.tenant, "project": world.project},
    }
    return issuers.create_issuer(actor=world.alice, **(usual | fields))


def call(gateway: Any, token: str, path: str = ANTHROPIC, **more: Any) -> Any:
    return ask(gateway, path, key=None, headers={"authorization": f"Bearer {token}"}, **more)


def refused(gateway: Any, token: str, path: str = ANTHROPIC) -> None:
    """In the words that every cause has."""
    assert told(path, call(gateway, token, path), 401) == bearers.REFUSED


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def written(payload: bytes, **head: Any) -> str:
    """Signed as it stands, whatever it says."""
    return jwt.PyJWS().encode(payload, KEYS["rsa"], "RS256", headers={"kid": "rsa", **head})
