"""OpenID Connect Back-Channel Logout 1.0: a provider says that somebody has left it, and their sessions end here."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import selectors as catalog
from apps.keys import grants
from apps.outbound import jwks
from apps.outbound.documents import Unavailable
from apps.runtime import clock
from apps.signin import oidc, remembered
from apps.signin.models import IdentityProvider
from apps.signin.people import Refused

EVENT = "http://schemas.openid.net/event/backchannel-logout"
WHY = "signed out at its identity provider"
_LONGEST = 24 * 3600.0  # that a token may be good for: so long its name is kept


def end(provider: IdentityProvider, token: str) -> bool:
    """Ends all sessions of whom the token names, and what programs they have signed in (of a tenant's provider: in that
    tenant). False: nobody here is meant, which is no fault. Recorded. Raises Refused, and then nothing has happened."""
    claims = _verified(provider, token)
    with transaction.atomic():
        if not remembered.spend(provider, claims["jti"], expires=claims["exp"]):
            raise Refused("token: used before")
        user = _meant(provider, claims)
        if user is None or (provider.tenant_id is not None and (user.is_staff or user.is_superuser)):
            return False  # of those who see more than one tenant no tenant's provider says anything
        accounts.end_sessions(user, actor=None)
        ended = grants.end_all(user, actor=None, why=WHY, tenant_id=provider.tenant_id)
        told = {"provider": provider.name, "issuer": provider.issuer, "programs": ended}
        audit.record(
            actor=None,
            action="user.signed_out",
            target=user,
            area=Area.SIGN_IN,
            after=told,
            tenant_id=provider.tenant_id,
        )
    return True


def _verified(provider: IdentityProvider, token: str) -> dict[str, Any]:
    """§2.6. Raises Refused."""
    if not token:
        raise Refused("no logout token")
    found = oidc.metadata(provider)
    now = clock.now()
    try:
        keys = jwks.key_sets.get(found.jwks_uri, networks=catalog.private_networks(), is_enough=jwks.knows(token))
        claims = jwks.verify(
            token,
            issuer=provider.issuer,
            audience=provider.client_id,
            algorithms=provider.algorithms,
            keys=keys,
            now=now,
            needs_subject=False,
        )
    except Unavailable as fault:
        raise Refused(f"keys: {fault.reason}") from None
    except jwks.TokenRefused as fault:
        raise Refused(f"token: {fault.reason}") from None
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise Refused("token: events")
    if "nonce" in claims:  # an id token is none
        raise Refused("token: nonce")
    if "iat" not in claims or claims["exp"] - now > _LONGEST:
        raise Refused("token: expiry")
    _check_words(claims)
    return claims


def _check_words(claims: dict[str, Any]) -> None:
    names = {name: claims[name] for name in ("jti", "sid") if name in claims}
    if not all(isinstance(word, str) and 0 < len(word) <= remembered.MOST_CHARACTERS for word in names.values()):
        raise Refused("token: names")
    if "jti" not in names:
        raise Refused("token: no jti")
    if "sub" not in claims and "sid" not in names:
        raise Refused("token: nobody")


def _meant(provider: IdentityProvider, claims: dict[str, Any]) -> User | None:
    """Raises Refused for a session that is somebody else's than the person's who is named."""
    by_session = remembered.user_of(provider, claims["sid"]) if "sid" in claims else None
    if "sub" not in claims:
        return by_session
    user = identities.user_of(provider.issuer, claims["sub"])
    if by_session is not None and user is not None and by_session.pk != user.pk:
        raise Refused("token: another person's session")
    return user if user is not None else by_session
