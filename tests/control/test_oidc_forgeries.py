"""Forged tokens at the way back from a provider, where somebody would be signed in."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts import identities
from apps.signin import oidc
from apps.signin import services as signin
from tests import factories
from tests.control.door import CLIENT, Door, open_loopback, reason
from tests.forgeries import OF_ISSUER, forged
from tests.issuers import issuing, signed

pytestmark = [pytest.mark.django_db, pytest.mark.attack("F22")]
NONCE = "n" * 43


@pytest.fixture
def door(db: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every journey has the same nonce, so that tokens can be made once for all."""
    monkeypatch.setattr(oidc, "get_random_string", lambda length: "n" * length)
    with issuing() as issuer:
        open_loopback()
        door = Door(issuer, creates_people=False)
        signin.update_provider(door.provider, actor=None, algorithms=list(OF_ISSUER))
        identities.link(factories.user("ada"), actor=None, issuer=issuer.url, subject="ada")
        yield door


def shown(door: Door, token: str) -> Any:
    asked = door.leave()
    door.answer(token)
    return door.back(asked)


def test_no_forged_token_lets_anybody_in(door, figure, caplog):
    claims = door.issuer.claims(aud=CLIENT, nonce=NONCE)
    tokens = forged(claims)
    for name, token in tokens.items():
        answer = shown(door, token)
        why = reason(answer)
        assert why.startswith("token: ") or why == "unknown", (name, why)
        assert door.user is None, name
        assert token[-40:] not in answer.content.decode() + caplog.text
    figure("F22", "forged id tokens refused", len(tokens), least=25)
    assert shown(door, signed(claims)).status_code == 302
    assert door.user.username == "ada"


@pytest.mark.parametrize("claim", ["email", "name", "given_name", "family_name", "groups", "sid", "sub"])
@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800", 7, ["x"], {"a": 1}, None, "x" * 5_000, True])
def test_whatever_a_provider_says_of_somebody_breaks_nothing(door, claim, value):
    signin.update_provider(door.provider, actor=None, creates_people=True, links_by_email=True, groups_claim="groups")
    claims = door.issuer.claims(aud=CLIENT, nonce=NONCE, email_verified=True, **{"sub": "eve", claim: value})
    assert shown(door, signed(claims)).status_code in (302, 403)
