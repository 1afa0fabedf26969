"""Signed tokens of other issuers (JWT, RFC 7519), and the keys that they are verified by (JWKS, RFC 7517).

    keys = key_sets.get(url, networks=…, is_enough=knows(token))      # in a coroutine: await key_sets.find(…)
    claims = verify(token, issuer=…, audience=…, algorithms=…, keys=keys, now=clock.now())

Only public keys verify: a token whose algorithm is `none` or HMAC is refused whatever an issuer is set to, as is one
whose key was made for another algorithm. PyJWT checks the signature and nothing else; the claims are read here, by the
clock of the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from apps.outbound.documents import Documents

# RFC 7518 §3.1 and RFC 8037: what each algorithm's key is, by JWK's `kty` and, where it has one, `crv`.
_KEY_OF = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
ALGORITHMS = tuple(_KEY_OF)
RSA_BITS = range(2048, 8192 + 1)
LEEWAY = 60.0  # seconds that an issuer's clock may be off
MOST_TOKEN_CHARACTERS = 16 * 1024
STALE_SECONDS = 24 * 3600.0
PAUSE_SECONDS = 30.0
# RFC 7515 §2: neither padding nor line ends. Python's decoder passes over what it does not know, so that one signature
# could be written in any number of ways.
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_jws = jwt.PyJWS()
_MOST_KEYS = 100
_MOST_CHARACTERS = 255  # of a subject: OpenID Connect Core §2


class TokenRefused(Exception):
    """`reason` is one of few words, for logs and counters: nothing of the token is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Key(NamedTuple):
    """`algorithms`: all that it may verify."""

    id: str | None
    algorithms: frozenset[str]
    public: Any


class KeySet:
    """What a JWKS document holds that can verify a signature; all else in it is left out."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def candidates(self, key_id: str | None, algorithm: str) -> tuple[Key, ...]:
        """Of a token without a key's id, a set's only key of that algorithm has to be the one."""
        fitting = tuple(key for key in self._keys if algorithm in key.algorithms)
        if key_id is None:
            return fitting if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.id == key_id)


def read_keys(body: bytes) -> KeySet:
    """Raises ValueError for what is no JWKS document."""
    document = json.loads(body)
    rows = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError("this is no set of keys")
    return KeySet(key for row in rows[:_MOST_KEYS] if (key := _read_key(row)) is not None)


def _read_key(row: Any) -> Key | None:
    if not isinstance(row, dict) or row.get("use", "sig") != "sig" or "d" in row:
        return None
    operations = row.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    kind, curve = row.get("kty"), row.get("crv")
    fitting = {name for name, (kty, crv) in _KEY_OF.items() if kty == kind and crv in (None, curve)}
    if row.get("alg") is not None:
        fitting &= {row["alg"]} if isinstance(row["alg"], str) else set()
    if not fitting:
        return None
    try:
        public = jwt.PyJWK(row, min(fitting)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        return None
    return Key(row["kid"] if isinstance(row.get("kid"), str) else None, frozenset(fitting), public)


# All key sets that this process knows, by URL.
key_sets: Documents[KeySet] = Documents(read_keys, stale=STALE_SECONDS, pause=PAUSE_SECONDS)


class Header(NamedTuple):
    algorithm: str
    key_id: str | None


def header_of(token: str) -> Header:
    """Unverified: for finding the key. Raises TokenRefused."""
    if len(token) > MOST_TOKEN_CHARACTERS or _SHAPE.fullmatch(token) is None:
        raise TokenRefused("malformed")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused("malformed") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _KEY_OF:
        raise TokenRefused("algorithm")
    if "crit" in header or "b64" in header:  # RFC 7515 §4.1.11: none of these is understood here
        raise TokenRefused("malformed")
    return Header(algorithm, key_id if isinstance(key_id, str) else None)


def knows(token: str) -> Callable[[KeySet], bool]:
    """Whether a set has a key for the token: `is_enough` of `Documents`. Raises TokenRefused."""
    algorithm, key_id = header_of(token)
    return lambda keys: bool(keys.candidates(key_id, algorithm))


def verify(
    token: str,
    *,
    issuer: str,
    audience: str | Collection[str],
    algorithms: Collection[str],
    keys: KeySet,
    now: float,
    leeway: float = LEEWAY,
    needs_subject: bool = True,
) -> dict[str, Any]:
    """The claims of a token that `issuer` signed for `audience` (one of, where there are more), is in force at `now`
    (Unix seconds) and names a subject, if it need. `algorithms`: those fixed for the issuer. Raises TokenRefused."""
    algorithm, key_id = header_of(token)
    if algorithm not in algorithms:
        raise TokenRefused("algorithm")
    candidates = keys.candidates(key_id, algorithm)
    if not candidates:
        raise TokenRefused("unknown key")
    claims = _claims(_payload(token, candidates, algorithm))
    if claims.get("iss") != issuer:
        raise TokenRefused("issuer")
    _check_audience(claims, {audience} if isinstance(audience, str) else set(audience))
    _check_times(claims, now=now, leeway=leeway)
    subject = claims.get("sub")
    if subject is None and not needs_subject:
        return claims
    # What is not printable has no database that takes it, or nobody who could tell it from another.
    if not isinstance(subject, str) or not 0 < len(subject) <= _MOST_CHARACTERS or not subject.isprintable():
        raise TokenRefused("subject")
    return claims


def _payload(token: str, candidates: Iterable[Key], algorithm: str) -> bytes:
    for key in candidates:
        try:
            payload: bytes = _jws.decode(token, key.public, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return payload
    raise TokenRefused("signature")


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise TokenRefused("malformed") from None
    if not isinstance(claims, dict):
        raise TokenRefused("malformed")
    return claims


def _check_audience(claims: Mapping[str, Any], wanted: set[str]) -> None:
    named = claims.get("aud")
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not any(isinstance(name, str) and name in wanted for name in named):
        raise TokenRefused("audience")


def _check_times(claims: Mapping[str, Any], *, now: float, leeway: float) -> None:
    expires, begins, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise TokenRefused("expiry")
    if now >= expires + leeway:
        raise TokenRefused("expired")
    if any(moment is not None and now < moment - leeway for moment in (begins, issued)):
        raise TokenRefused("not yet valid")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Raises TokenRefused for what is no number of seconds."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < 1e12:
        raise TokenRefused("expiry")
    return float(value)
