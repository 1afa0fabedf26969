"""Tokens that are forged, borrowed or malformed: refused alike, before anything is sent, booked or told."""

from __future__ import annotations

import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.accounts import identities
from apps.gateway import bearers
from apps.keys import issuers
from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.tokens import call, encoded, issuer, refused, trust, trusted, written
from tests.issuers import JWKS, KEYS, issuing, jwk, jwks, signed

__all__ = ["issuer", "trusted"]
pytestmark = [pytest.mark.usefixtures("costs_nothing"), pytest.mark.attack("F22")]
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DAY = 86_400


def by_hmac(claims: dict, secret: bytes, algorithm: str = "HS256") -> str:
    signed_part = f"{encoded({'alg': algorithm, 'kid': 'rsa', 'typ': 'JWT'})}.{encoded(claims)}"
    return f"{signed_part}.{encoded(hmac.digest(secret, signed_part.encode(), 'sha256'))}"


def forged(claims: dict) -> dict[str, str]:
    """By name, every token that somebody without the issuer's key could make of good claims."""
    public = KEYS["rsa"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = signed(claims).split(".")
    none = {"alg": "none", "kid": "rsa"}
    mine = {"key": STRANGER, "jwk": jwk("rsa", key=STRANGER)}
    return {
        "no algorithm": f"{encoded(none)}.{encoded(claims)}.",
        "no algorithm, a signature": f"{encoded(none)}.{encoded(claims)}.{signature}",
        "no algorithm, in capitals": f"{encoded({**none, 'alg': 'NONE'})}.{encoded(claims)}.",
        "the public key as a secret": by_hmac(claims, pem),
        "the public key as a secret, in DER": by_hmac(claims, der),
        "the JWK as a secret": by_hmac(claims, json.dumps(jwk("rsa")).encode()),
        "nothing as a secret": by_hmac(claims, b""),
        "another algorithm of the same key": signed(claims, algorithm="PS256"),
        "another key of the issuer's": signed(claims, kind="ec", algorithm="ES256", kid="rsa"),
        "a stranger's key": signed(claims, key=STRANGER),
        "a key in the header": signed(claims, **mine),
        "a key in the header and no id": jwt.encode(claims, STRANGER, "RS256", headers={"jwk": mine["jwk"]}),
        "keys at an address": signed(claims, key=STRANGER, jku="http://127.0.0.1:9/jwks", x5u="http://127.0.0.1:9/"),
        "a certificate in the header": signed(claims, key=STRANGER, x5c=["MIIB"]),
        "another payload": f"{head}.{encoded({**claims, 'sub': 'alice'})}.{signature}",
        "no signature": f"{head}.{body}.",
        "half a signature": f"{head}.{body}.{signature[:100]}",
        "an extension": written(json.dumps(claims).encode(), crit=["exp"], exp=1),
        "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
    }


def test_whatever_can_be_made_without_the_issuers_key_is_refused(gateway, issuer, trusted):
    gateway.refresh()
    for name, token in forged(issuer.claims()).items():
        response = call(gateway, token)
        assert response.status_code == 401, name
        assert response.json()["error"]["message"] == bearers.REFUSED, name
        assert token[:40] not in response.text
    assert issuer.asked[JWKS] <= 1


@pytest.mark.parametrize(
    "kid",
    [
        *("../../../../dev/null", "/etc/passwd", "' OR 1=1 --", "http://127.0.0.1:9/key", "rsa\0", "RSA", "r" * 10_000),
        *("", "\u202ersa", "rsa ", "$(id)", "%00", "ﬁ"),
    ],
)
def test_a_keys_id_is_looked_up_and_nothing_else(gateway, issuer, trusted, kid):
    gateway.refresh()
    refused(gateway, signed(issuer.claims(), kid=kid))


def test_what_a_token_says_must_be_for_us_and_now(gateway, issuer, trusted):
    gateway.refresh()
    now = int(time.time())
    for changes in (
        *({"aud": "other"}, {"aud": None}, {"aud": []}, {"aud": [None]}, {"aud": "WEIR"}, {"aud": "weir "}),
        *({"iss": "http://evil.example"}, {"iss": issuer.url + "/"}, {"iss": None}, {"iss": [issuer.url]}),
        *({"exp": now - 61, "iat": now - 90}, {"exp": None}, {"exp": "never"}, {"exp": -1}, {"exp": 1e400}),
        *({"nbf": now + 70}, {"nbf": "now"}, {"iat": now + 70}, {"exp": now + 2 * DAY}, {"iat": None}),
        *({"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "a" * 300}, {"sub": "ADA"}, {"sub": "\u0430da"}),
    ):
        claims = {**issuer.claims(**changes)}
        response = call(gateway, written(json.dumps(claims).encode()))
        assert response.status_code == 401, changes
        assert response.json()["error"]["message"] == bearers.REFUSED


def test_required_claims_are_required(gateway, issuer, trusted):
    issuers.update_issuer(trusted, actor=None, required_claims={"groups": ["eng", "ops"], "env": "prod"})
    gateway.refresh()
    for claims in (
        *({}, {"groups": "eng"}, {"env": "prod"}, {"groups": ["sales"], "env": "prod"}),
        *({"groups": ["eng"], "env": "PROD"}, {"groups": {"eng": 1}, "env": "prod"}, {"groups": 7, "env": "prod"}),
        {"groups": "engineer", "env": "prod"},
    ):
        refused(gateway, signed(issuer.claims(**claims)))


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(
    "token",
    [
        *("..", "a.b.c", "e30.e30.e30", "eyJ.eyJ.eyJ", "é.é.é", "=.=.=", "\x85.\x85.\x85"),
        *("e" * 20_000 + ".e.e", encoded({"alg": "RS256"}) + "." + encoded(b"[" * 9_000) + ".e"),
        *(f"{encoded(b'{' * 2_000)}.e30.e30", f"{encoded([])}.{encoded([])}.{encoded([])}"),
    ],
)
def test_what_is_no_token_is_a_key_that_is_none(gateway, issuer, trusted, path, token):
    gateway.refresh()
    before = gateway.look_ups()
    refused(gateway, token, path)
    assert (gateway.look_ups(), issuer.asked[JWKS]) == (before, 0)


def test_a_claim_that_comes_twice_is_its_last_and_says_nothing_twice(gateway, issuer, trusted):
    gateway.refresh()
    good = json.dumps(issuer.claims())
    for again in ('"sub": "alice"', '"aud": "other"', '"exp": 1', '"iss": "http://evil.example"'):
        refused(gateway, written(f"{good[:-1]}, {again}}}".encode()))


def test_an_issuers_name_opens_no_other_issuers_door(gateway, world, issuer, trusted):
    """Both are trusted, each for its own tenant: the other's key signs for nobody here."""
    other = tenants.create_tenant(actor=None, name="Umbrella")
    lab = tenants.create_project(other, actor=None, name="Lab")
    with issuing() as second:
        second.pages[JWKS] = jwks(jwk("rsa", key=STRANGER))
        trust(world, second, name="Umbrella's", tenant=other, project=lab)
        identities.link(world.alice, actor=None, issuer=second.url, subject="alice")
        gateway.refresh()
        refused(gateway, signed(issuer.claims(), key=STRANGER))
        refused(gateway, signed(second.claims(sub="alice")))
        refused(gateway, signed(second.claims(sub="ada"), key=STRANGER))
        refused(gateway, signed(issuer.claims(sub="alice")))


def test_a_member_of_another_tenant_is_nobody_here(gateway, world, issuer, trusted):
    other = tenants.create_tenant(actor=None, name="Umbrella")
    lab = tenants.create_project(other, actor=None, name="Lab")
    issuers.update_issuer(trusted, actor=None, tenant=other, project=lab)
    gateway.refresh()
    refused(gateway, signed(issuer.claims()))


def test_neither_logs_nor_refusals_hold_a_token(gateway, issuer, trusted, caplog):
    gateway.refresh()
    tokens = [
        signed(issuer.claims(aud="other")),
        signed(issuer.claims(), kid="gone"),
        *forged(issuer.claims()).values(),
    ]
    for token in tokens:
        assert call(gateway, token).status_code == 401
        assert ask(gateway, OPENAI, key=token).status_code == 401
    assert "token.refused" in caplog.text
    assert "audience" in caplog.text
    for token in tokens:
        assert all(part not in caplog.text for part in token.split(".") if len(part) > 20)
