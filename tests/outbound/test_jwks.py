"""Tokens: one that is good, and everything that must be refused."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.outbound import jwks as reading
from apps.outbound.jwks import ALGORITHMS, TokenRefused, header_of, knows, read_keys, verify
from tests.issuers import KEYS, Issuer, jwk, jwks, signed

pytestmark = pytest.mark.attack("F22")
ISSUER = Issuer("https://id.example.com")
ALL = read_keys(jwks()[1])


def check(token: str, *, keys: Any = ALL, now: float | None = None, **more: Any) -> dict[str, Any]:
    settled = {"issuer": ISSUER.url, "audience": "weir", "algorithms": ALGORITHMS} | more
    return verify(token, keys=keys, now=time.time() if now is None else now, **settled)


def refused(token: str, **more: Any) -> str:
    with pytest.raises(TokenRefused) as failed:
        check(token, **more)
    return failed.value.reason


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("rsa", "RS512"), ("ec", "ES256"), ("ed", "EdDSA")]
)
def test_a_good_token_tells_its_claims(kind, algorithm):
    token = signed(ISSUER.claims(email="ada@example.com"), kind=kind, algorithm=algorithm)
    assert check(token)["email"] == "ada@example.com"
    assert check(token, algorithms=[algorithm])["sub"] == "ada"
    assert refused(token, algorithms=[name for name in ALGORITHMS if name != algorithm]) == "algorithm"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://id.example.com/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other", 7]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": {"weir": 1}}, "audience"),
        ({"exp": None}, "expiry"),
        ({"exp": "9999999999"}, "expiry"),
        ({"exp": True}, "expiry"),
        ({"exp": 1}, "expired"),
        ({"nbf": 9_999_999_999}, "not yet valid"),
        ({"iat": 9_999_999_999}, "not yet valid"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "a" * 256}, "subject"),
        ({"sub": "ada\0"}, "subject"),
        ({"sub": "\ud800"}, "subject"),
        ({"sub": "ada\u200b"}, "subject"),
    ],
)
def test_a_claim_that_is_wrong(changes, reason):
    assert refused(signed_as_it_is(ISSUER.claims(**changes))) == reason


def signed_as_it_is(claims: Any) -> str:
    """As PyJWT signs it, without what it thinks of the claims."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), KEYS["rsa"], "RS256", headers={"kid": "rsa"})


def test_one_of_several_audiences_is_enough():
    token = signed(ISSUER.claims(aud=["api", "weir"]))
    assert check(token)["sub"] == check(token, audience=["x", "api"])["sub"] == "ada"


def test_clocks_may_differ_a_little():
    claims = ISSUER.claims()
    token = signed(claims)
    assert check(token, now=claims["exp"] + 59)
    assert refused(token, now=claims["exp"] + 60) == "expired"
    assert check(token, now=claims["iat"] - 60)
    assert refused(token, now=claims["iat"] - 61) == "not yet valid"
    assert refused(token, now=claims["exp"], leeway=0) == "expired"


def test_no_algorithm_and_no_shared_secret_will_do():
    claims = part(ISSUER.claims())
    for algorithm in ("none", "None", "HS256", "HS512", "", None, ["RS256"]):
        token = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{claims}.{part(b'x')}"
        assert refused(token, algorithms=[*ALGORITHMS, "none", "HS256", ""]) == "algorithm"
    public = KEYS["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{claims}"
    token = f"{confused}.{part(hmac.digest(public, confused.encode(), 'sha256'))}"
    assert refused(token, algorithms=["RS256", "HS256"]) == "algorithm"


def test_a_signature_by_another_key_is_refused():
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(signed(ISSUER.claims(), key=other)) == "signature"
    head, claims, signature = signed(ISSUER.claims()).split(".")
    forged = part({**ISSUER.claims(), "sub": "root"})
    assert refused(f"{head}.{forged}.{signature}") == "signature"
    assert refused(f"{head}.{claims}.") == "signature"


def test_the_tokens_own_keys_are_no_keys():
    """`jwk`, `jku` and `x5u` of the header are the sender's words."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    mine = jwk("rsa", key=other)
    token = signed(ISSUER.claims(), key=other, jwk=mine, jku="https://evil.example/jwks", x5u="https://evil.example/")
    assert refused(token) == "signature"


def test_the_key_is_chosen_by_its_id():
    assert refused(signed(ISSUER.claims(), kid="gone")) == "unknown key"
    assert not knows(signed(ISSUER.claims(), kid="gone"))(ALL)
    assert knows(signed(ISSUER.claims()))(ALL)


def test_without_an_id_there_must_be_one_key_only():
    token = jwt.encode(ISSUER.claims(), KEYS["rsa"], algorithm="RS256")
    assert check(token)["sub"] == "ada"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    two = read_keys(jwks(jwk("rsa"), jwk("rsa", key=other, kid="second"))[1])
    assert refused(token, keys=two) == "unknown key"


def test_a_key_verifies_only_what_it_was_made_for():
    token = signed(ISSUER.claims())
    for row in (
        *(jwk("rsa", use="enc"), jwk("rsa", alg="RS512"), jwk("rsa", key_ops=["encrypt"]), jwk("rsa", alg=7)),
        *(jwk("ec", kid="rsa"), {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}, {"kid": "rsa"}, "rsa", None),
        jwk("rsa", n="AQAB"),
        jwk("rsa", key=rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        {**jwk("ec", key=ec.generate_private_key(ec.SECP384R1())), "crv": "P-256"},
    ):
        keys = read_keys(json.dumps({"keys": [row]}).encode())
        assert refused(token, keys=keys) == "unknown key", row


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", b'{"keys": 1}'])
def test_what_is_no_set_of_keys_is_none(body):
    with pytest.raises(ValueError):
        read_keys(body)


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "e30.e30.e30"),
        "x" * (reading.MOST_TOKEN_CHARACTERS + 1),
        f"{part([])}.{part({})}.{part(b'x')}",
    ],
)
def test_what_is_no_token_is_malformed(token):
    with pytest.raises(TokenRefused):
        header_of(token)
    refused(token)


def test_an_extension_that_must_be_understood_is_refused():
    assert (
        refused(jwt.PyJWS().encode(b"{}", KEYS["rsa"], "RS256", headers={"crit": ["b64"], "b64": True})) == "malformed"
    )


def test_a_payload_that_is_no_object_is_refused():
    for payload in (b"[]", b"7", b"{", b"\xff"):
        assert refused(jwt.PyJWS().encode(payload, KEYS["rsa"], "RS256", headers={"kid": "rsa"})) == "malformed"


def test_a_refusal_says_nothing_of_the_token():
    token = signed(ISSUER.claims(sub="ada-lovelace"), kid="gone")
    with pytest.raises(TokenRefused) as failed:
        check(token)
    assert "ada" not in repr(failed.value)
    assert token not in repr(failed.value)
    assert failed.value.__cause__ is None
