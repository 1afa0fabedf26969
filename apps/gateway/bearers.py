"""Tokens that others have signed (JWT), presented instead of a key: verified by the keys that their issuers publish.

What is found out here is the issuer and what the token says; who that is, the database knows. A token whose key is
known waits for nobody. Keys are fetched in the background when they get old, go on for a day if that fails, and a key
that is not among them makes the issuer be asked every half minute at most, however many tokens name one.
"""

from __future__ import annotations

import binascii
import math
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from prometheus_client import Counter

from apps.domain import errors
from apps.gateway import refusals
from apps.outbound import jwks
from apps.outbound.documents import Documents
from apps.outbound.documents import Unavailable as NotThere
from apps.runtime import clock

if TYPE_CHECKING:
    from apps.domain.issuers import Issuer
    from apps.domain.snapshot import Snapshot

REFUSED = "invalid API key"
"""The same words for every cause, as for a key: a caller learns nothing about what would be accepted."""
_DISCOVERY = "/.well-known/openid-configuration"


class _Discovered(msgspec.Struct):
    """OpenID Connect Discovery 1.0, §3."""

    issuer: str
    jwks_uri: str


class _Named(msgspec.Struct):
    iss: str


LASTING: dict[str, Any] = {"late": math.inf, "stale": jwks.STALE_SECONDS, "pause": jwks.PAUSE_SECONDS}
read_discovery = msgspec.json.Decoder(_Discovered).decode
_key_sets = Documents(jwks.read_keys, **LASTING)
_refusals = Counter("weir_tokens_refused", "Tokens that were refused, by issuer and reason.", ("issuer", "reason"))
_discovered = Documents(read_discovery, **LASTING)


class Verified(NamedTuple):
    """`until`: unix seconds."""

    issuer: Issuer
    claims: dict[str, Any]
    until: float


def is_shaped(presented: str) -> bool:
    """Whether it may be a token: a key's letters hold no dot."""
    return presented.count(".") == 2 and len(presented) <= jwks.MOST_TOKEN_CHARACTERS


async def verified(token: str, snapshot: Snapshot) -> Verified:
    """Raises AuthenticationFailed, and Unavailable where its issuer's keys cannot be had."""
    issuer = snapshot.issuers.get(_issuer_of(token))
    if issuer is None:
        raise refused("unknown issuer")
    try:
        return _read(token, issuer, await _keys(token, issuer, snapshot.private_networks))
    except jwks.TokenRefused as fault:
        raise refused(fault.reason, issuer) from None
    except NotThere as fault:
        refusals.unverified(issuer.name, fault.reason)
        message = "tokens of this issuer cannot be verified right now"
        raise errors.Unavailable(message, retry_after=jwks.PAUSE_SECONDS) from None


def refused(reason: str, issuer: Issuer | None = None) -> errors.AuthenticationFailed:
    """Counted and logged by its reason; its caller is not told."""
    name = issuer.name if issuer is not None else ""
    refusals.token(reason, name)
    _refusals.labels(name, reason).inc()
    return errors.AuthenticationFailed(REFUSED)


def forget() -> None:
    """What issuers have published."""
    _key_sets.forget()
    _discovered.forget()


def _issuer_of(token: str) -> str:
    """Unverified: for finding whose keys verify it."""
    payload = token.split(".")[1]
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Named).iss
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return ""


async def _keys(token: str, issuer: Issuer, networks: tuple[str, ...]) -> jwks.KeySet:
    algorithm, _ = jwks.header_of(token)
    if algorithm not in issuer.algorithms:  # before anybody is asked for keys
        raise jwks.TokenRefused("algorithm")
    url = issuer.jwks_url
    if not url:
        told = await _discovered.find(issuer.url.rstrip("/") + _DISCOVERY, networks=networks)
        if told.issuer != issuer.url:
            raise NotThere("another issuer's")
        url = told.jwks_uri
    return await _key_sets.find(url, networks=networks, is_enough=jwks.knows(token))


def _read(token: str, issuer: Issuer, keys: jwks.KeySet) -> Verified:
    """Raises TokenRefused."""
    claims = jwks.verify(
        token,
        issuer=issuer.url,
        audience=issuer.audiences,
        algorithms=issuer.algorithms,
        keys=keys,
        now=clock.now(),
        leeway=issuer.leeway,
    )
    issued = claims.get("iat")
    if issuer.longest is not None and (issued is None or claims["exp"] - issued > issuer.longest):
        raise jwks.TokenRefused("too long a life")
    for name, wanted in issuer.required.items():
        told = claims.get(name)
        if not any(word in wanted for word in (told if isinstance(told, list) else [told]) if isinstance(word, str)):
            raise jwks.TokenRefused("claim")
    return Verified(issuer, claims, claims["exp"] + issuer.leeway)
