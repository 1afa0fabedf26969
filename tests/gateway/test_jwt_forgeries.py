"""Tokens for an issuer that signs with keys of every kind: what confuses one kind with another, and one text with
another of the same meaning."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.gateway import bearers
from apps.keys import issuers
from apps.outbound import jwks as reading
from apps.tenants import services as tenants
from apps.usage.models import Entry
from tests.forgeries import ALGORITHMS, OF_ISSUER, STRANGERS, by_hmac, forged
from tests.gateway.calls import ANTHROPIC, OPENAI, told
from tests.gateway.tokens import call, encoded, issuer, trusted
from tests.issuers import JWKS, KEYS, Issuer, issuing, jwk, jwks, signed

__all__ = ["issuer", "trusted"]
pytestmark = [pytest.mark.once, pytest.mark.attack("F22")]


@pytest.fixture
def of_all_kinds(trusted: Any) -> Any:
    return issuers.update_issuer(trusted, actor=None, algorithms=list(OF_ISSUER))


def test_nothing_that_can_be_made_without_the_key_or_said_with_it_confuses(
    gateway, issuer, of_all_kinds, costs_nothing, figure
):
    gateway.refresh()
    claims = issuer.claims()
    for kind, algorithm in ALGORITHMS.items():
        head = {"authorization": f"Bearer {signed(claims, kind=kind, algorithm=algorithm)}"}
        assert gateway.client.get("/v1/models", headers=head).status_code == 200, "the good one"
    tokens = forged(claims)
    for number, (name, one) in enumerate(tokens.items()):
        path = (ANTHROPIC, OPENAI)[number % 2]
        response = call(gateway, one, path)
        assert response.status_code == 401, (name, response.text)
        assert told(path, response, 401) == bearers.REFUSED, name
        assert one[-40:] not in response.text
    assert issuer.asked[JWKS] == 1
    figure("F22", "forged and confused tokens refused", len(tokens), least=25)


@pytest.mark.parametrize("kind", list(ALGORITHMS))
def test_one_signature_is_written_in_one_way(gateway, issuer, of_all_kinds, costs_nothing, kind):
    """Neither padding nor line ends nor letters of other alphabets: Python's decoder passes over them all."""
    gateway.refresh()
    good = signed(issuer.claims(), kind=kind, algorithm=ALGORITHMS[kind])
    head, claims, signature = good.split(".")
    for change in (
        *(signature[:-1], signature[:-4], signature[1:], signature + "A", signature + "AAAA", signature * 2),
        *(signature + "=", signature + "==", "=" + signature, signature[:9] + "!" + signature[9:]),
        *(
            signature[:9] + " " + signature[9:],
            signature[:9] + "\t" + signature[9:],
            signature[:9] + "é" + signature[9:],
        ),
        *(signature.swapcase(), signature[::-1], signature[:9] + "+/" + signature[9:]),
    ):
        assert call(gateway, f"{head}.{claims}.{change}").status_code == 401, change
    for part in (f"{head}=.{claims}.{signature}", f"{head}.{claims}=.{signature}", f"{head}.{claims}.{signature}.x"):
        assert call(gateway, part).status_code == 401


def test_the_last_letter_s_spare_bits_let_in_nobody_else(gateway, world, issuer, of_all_kinds):
    """They are no part of the signature: a variant is the same person's, or nobody's."""
    gateway.refresh()
    good = signed(issuer.claims(), kind="ec", algorithm="ES256")
    assert call(gateway, good).status_code == 200
    answers = [call(gateway, good[:-1] + letter).status_code for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"]
    assert set(answers) <= {200, 401}
    gateway.settle()
    assert set(Entry.objects.values_list("user_id", flat=True)) == {world.ada.pk}


@pytest.mark.parametrize("megabytes", [0.1, 1])
def test_a_token_of_a_megabyte_is_not_read(gateway, issuer, trusted, costs_nothing, megabytes):
    gateway.refresh()
    before = issuer.asked.total()
    huge = "e30." + "A" * int(megabytes * 1024 * 1024) + ".x"
    assert call(gateway, huge).status_code in (400, 401, 431)
    assert issuer.asked.total() == before


def test_what_begins_alike_is_told_apart_while_the_first_is_remembered(gateway, world, issuer, trusted):
    """CVE-2026-35030: a cache of tokens by their first letters."""
    second = accounts.create_user(actor=None, username="eve")
    tenants.add_member(world.tenant, actor=None, user=second, role="viewer")
    identities.link(second, actor=None, issuer=issuer.url, subject="eve")
    gateway.refresh()
    first, other = (signed({"iss": issuer.url, **issuer.claims(sub=who)}) for who in ("ada", "eve"))
    assert first[:60] == other[:60]
    assert call(gateway, first).status_code == 200
    for changed in (other, first[:-10] + other[-10:], other[:-10] + first[-10:], first[:20], first[:60] + "." + "x.y"):
        assert call(gateway, changed).status_code == 401


def test_of_two_issuers_with_one_key_s_id_each_has_its_own_key(gateway, world, issuer, trusted):
    with issuing() as other:
        other.pages[JWKS] = jwks(jwk("rsa", key=STRANGERS["rsa"]))
        usual = {"algorithms": ["RS256"], "tenant": world.tenant, "project": world.project, "audiences": ["weir"]}
        issuers.create_issuer(actor=None, name="Other", url=other.url, jwks_url=other.url + JWKS, **usual)
        identities.link(world.ada, actor=None, issuer=other.url, subject="ada")
        gateway.refresh()
        own, theirs = signed(issuer.claims()), signed(other.claims(), key=STRANGERS["rsa"])
        assert [call(gateway, one).status_code for one in (own, theirs, own)] == [200, 200, 200]
        for claims, key in ((issuer.claims(jti="1"), STRANGERS["rsa"]), (other.claims(jti="1"), KEYS["rsa"])):
            assert call(gateway, signed(claims, key=key)).status_code == 401


def test_a_set_of_keys_that_holds_a_secret_or_a_private_key_verifies_nothing_by_it():
    """An issuer that publishes what it should not, or is made to: `oct` is no public key, and `d` is no secret."""
    own = Issuer("https://id.example.com")
    secret = {"kty": "oct", "k": encoded(b"s" * 32), "kid": "rsa", "alg": "HS256"}
    private = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS["rsa"])), "kid": "rsa"}
    for row in (secret, {**secret, "alg": "RS256"}, private):
        keys = reading.read_keys(json.dumps({"keys": [row]}).encode())
        for one in (signed(own.claims()), by_hmac(own.claims(), b"s" * 32, "HS256", "rsa")):
            with pytest.raises(reading.TokenRefused):
                reading.verify(
                    one,
                    issuer=own.url,
                    audience="weir",
                    algorithms=["RS256", "HS256"],
                    keys=keys,
                    now=own.claims()["iat"],
                )
