"""Tokens that somebody makes who has not the issuer's key, or that say with it what is no set of claims. Of an issuer
that signs with keys of every kind (`tests.issuers.KEYS`)."""

from __future__ import annotations

import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.gateway.tokens import encoded, written
from tests.issuers import KEYS, jwk, signed

ALGORITHMS = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}
OF_ISSUER = (*ALGORITHMS.values(), "PS256", "ES384")  # what it is trusted with, for all of these to be tried
STRANGERS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def forged(claims: Any) -> dict[str, str]:
    """By what is odd about it; `claims` are good ones for the audience `weir` and the person `ada`."""
    made = (shared_secrets, unsigned, impossible_signatures, of_other_keys, of_the_issuer_s_own)
    return {name: one for make in made for name, one in make(claims).items()}


def token(head: Any, claims: Any, signature: bytes = b"") -> str:
    """`head` and `claims` as bytes: as they stand."""
    return f"{encoded(head)}.{encoded(claims)}.{encoded(signature)}"


def by_hmac(claims: Any, secret: bytes, algorithm: str, kid: str) -> str:
    signing = f"{encoded({'alg': algorithm, 'kid': kid, 'typ': 'JWT'})}.{encoded(claims)}"
    return f"{signing}.{encoded(hmac.digest(secret, signing.encode(), DIGESTS[algorithm]))}"


def public_forms(kind: str) -> dict[str, bytes]:
    """Everything of a public key that a library might take for a shared secret."""
    public = KEYS[kind].public_key()
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    row = jwk(kind)
    return {
        **{"PEM": text, "PEM without its last line end": text.strip(), "PEM in DOS": text.replace(b"\n", b"\r\n")},
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        **{"JWK": json.dumps(row).encode(), "its number": str(row.get("n", row.get("x"))).encode(), "nothing": b""},
    }


def shared_secrets(claims: Any) -> dict[str, str]:
    return {
        f"{kind}'s {form} as the secret of {algorithm}": by_hmac(claims, secret, algorithm, kind)
        for kind in KEYS
        for form, secret in public_forms(kind).items()
        for algorithm in DIGESTS
    }


def unsigned(claims: Any) -> dict[str, str]:
    good = signed(claims).rpartition(".")[2]
    named = ["none", "None", "NONE", "nOnE", "none ", "\u200bnone", "", "null", "rs256", "RS256 ", "RS256\0", "HS256"]
    odd = [None, True, 0, ["RS256"], ["none"], {"alg": "RS256"}, 1e400]
    found = {f"alg {name!r}": f"{encoded({'alg': name, 'kid': 'rsa'})}.{encoded(claims)}." for name in [*named, *odd]}
    found |= {f"{name} and a signature": one + good for name, one in found.items()}
    return found | {
        "no alg": token({"kid": "rsa"}, claims),
        "alg twice, none last": token(b'{"alg":"RS256","kid":"rsa","alg":"none"}', claims),
        "alg twice, none first": token(b'{"alg":"none","kid":"rsa","alg":"RS256"}', claims),
        "a header that is no object": token([{"alg": "none"}], claims),
        "a header in UTF-16": token('{"alg":"none"}'.encode("utf-16"), claims),
        "a header behind a mark": token(b'\xef\xbb\xbf{"alg":"none"}', claims),
        "a header of a thousand parts": token(b'{"a":' * 1_000 + b"1" + b"}" * 1_000, claims),
    }


def impossible_signatures(claims: Any) -> dict[str, str]:
    """Numbers that some verifiers have let pass for any message (CVE-2022-21449 and its kin)."""
    both = {"0 and 0": (0, 0), "1 and 0": (1, 0), "0 and 1": (0, 1), "the order": (ORDER, ORDER), "1 and 1": (1, 1)}
    pairs = {name: r.to_bytes(32, "big") + s.to_bytes(32, "big") for name, (r, s) in both.items()}
    signature = signed(claims, kind="ec", algorithm="ES256", key=STRANGERS["ec"]).rpartition(".")[2]
    raw = jwt.utils.base64url_decode(signature)
    in_der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    numbers = KEYS["rsa"].public_key().public_numbers()
    of_rsa = {"0": 0, "1": 1, "the modulus": numbers.n, "the modulus less one": numbers.n - 1}
    head = {kind: {"alg": algorithm, "kid": kind} for kind, algorithm in ALGORITHMS.items()}
    return {
        **{f"ES256: {name}": token(head["ec"], claims, value) for name, value in pairs.items()},
        **{f"ES384: {name}": token({**head["ec"], "alg": "ES384"}, claims, one * 2) for name, one in pairs.items()},
        "ES256 in DER": token(head["ec"], claims, in_der),
        "ES256 in DER of nothing": token(head["ec"], claims, encode_dss_signature(0, 0)),
        **{f"RS256: {name}": token(head["rsa"], claims, n.to_bytes(256, "big")) for name, n in of_rsa.items()},
        "RS256: a long one": token(head["rsa"], claims, b"\0" * 4_000),
        "EdDSA: nothing": token(head["ed"], claims, b"\0" * 64),
        "EdDSA: the neutral point": token(head["ed"], claims, b"\1" + b"\0" * 63),
        "EdDSA: a long one": token(head["ed"], claims, b"\0" * 65),
    }


def of_other_keys(claims: Any) -> dict[str, str]:
    """Good signatures by keys that are not the named one's, and of kinds that are not the named algorithm's."""
    found = {
        f"{kind} names {kid}": signed(claims, kind=kind, algorithm=ALGORITHMS[kind], kid=kid)
        for kind in KEYS
        for kid in KEYS
        if kid != kind
    }
    for kind, algorithm in ALGORITHMS.items():
        own = {"kind": kind, "algorithm": algorithm, "key": STRANGERS[kind]}
        inside = jwk(kind, key=STRANGERS[kind])
        found |= {
            f"a stranger's {kind}": signed(claims, **own),
            f"a stranger's {kind} inside": signed(claims, **own, jwk=inside),
            f"a stranger's {kind} inside, no id": jwt.encode(claims, own["key"], algorithm, headers={"jwk": inside}),
            f"a stranger's {kind} by address": signed(claims, **own, jku="http://127.0.0.1:9/", x5u="file:///etc/x"),
            f"a stranger's {kind} by certificate": signed(claims, **own, x5c=["MIIB"], x5t="x", **{"x5t#S256": "x"}),
        }
    wider = signed(claims, algorithm="RS512").split(".")
    return found | {
        "RS512, which is not the issuer's": ".".join(wider),
        "RS512 told as RS256": f"{encoded({'alg': 'RS256', 'kid': 'rsa'})}.{wider[1]}.{wider[2]}",
        "RS256 told as PS256": f"{encoded({'alg': 'PS256', 'kid': 'rsa'})}.{encoded(claims)}."
        + signed(claims).rpartition(".")[2],
    }


def of_the_issuer_s_own(claims: Any) -> dict[str, str]:
    """Its own key has signed these; they say what is not understood here, or is no set of claims."""
    inner, good = signed(claims), json.dumps(claims).encode()
    return {
        **{f"crit {names}": written(good, crit=names, exp=1) for names in (["exp"], ["b64"], [], ["x"], "exp", None)},
        "not encoded": written(good, b64=False),
        "not encoded, and said to matter": written(good, b64=False, crit=["b64"]),
        "not encoded, and not there": signed(claims).split(".")[0] + ".." + signed(claims).rpartition(".")[2],
        "a token in a token": written(inner.encode(), cty="JWT"),
        "a token in a text in a token": written(json.dumps(inner).encode(), cty="JWT"),
        "packed": written(b"\x78\x9c" + good, zip="DEF"),
        **{f"kid {kid!r}"[:40]: written(good, kid=kid) for kid in ("k" * 9_000, "rsa\n", "../rsa", "RSA", "\u0433sa")},
        **{f"a claim {name}": written(good[:-1] + b", " + raw + b"}") for name, raw in ODD_CLAIMS.items()},
        **{f"payload {raw!r}": written(raw) for raw in (b"", b"null", b"[]", b'"x"', b"1", good * 2, good + b"\0")},
    }


ODD_CLAIMS = {
    **{f"exp {raw.decode()}": b'"exp": ' + raw for raw in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400")},
    **{
        f"exp {raw.decode()[:9]}": b'"exp": ' + raw for raw in (b'"2e9"', b"true", b"[2e9]", b"9" * 4_000, b"-1", b"{}")
    },
    **{f"nbf {raw.decode()}": b'"nbf": ' + raw for raw in (b"NaN", b"4e9", b'"0"', b"[]", b"false")},
    **{f"iat {raw.decode()}": b'"iat": ' + raw for raw in (b"NaN", b"4e9", b'"0"', b"{}", b"-1e400")},
    **{f"aud {raw.decode()}": b'"aud": ' + raw for raw in (b'"wei"', b'"weirs"', b'["w","e","i","r"]', b'{"weir":1}')},
    **{f"aud {raw.decode()}": b'"aud": ' + raw for raw in (b'"weir\\u0000"', b'[["weir"]]', b"true", b'" weir"')},
    **{f"sub {raw.decode()}": b'"sub": ' + raw for raw in (b'["ada"]', b'{"a":1}', b"0", b'"ada\\u0000"', b'"ADA"')},
    **{f"iss {raw.decode()}": b'"iss": ' + raw for raw in (b'"http://evil.example"', b"null", b'""')},
}
