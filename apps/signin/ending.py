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
from apps.signin.models import IdentityProvider, ProviderSession
from apps.signin.people import Refused

EVENT = "http://schemas.openid.net/event/backchannel-logout"
WHY = "signed out at its identity provider"
_LONGEST = 24 * 3600.0  # that a token may be good for: so long its name is kept


def end(provider: IdentityProvider, token: str) -> bool:
    """Ends what the token names: the sessions here that began with the one there (`sid`), or else all of the person
    (`sub`), which is so too if no session of theirs is known by a name there. Programs that the person has signed in
    end with the last of their sessions that began with a provider (of a tenant's provider: those in that tenant).
    False: nobody here is meant, which is no fault. Recorded. Raises Refused, and then nothing has happened."""
    claims = _verified(provider, token)
    with transaction.atomic():
        if not remembered.spend(provider, claims["jti"], expires=claims["exp"]):
            raise Refused("token: used before")
        named = remembered.sessions_of(provider, claims["sid"]) if "sid" in claims else []
        user = _meant(provider, claims, named)
        if user is None or (provider.tenant_id is not None and (user.is_staff or user.is_superuser)):
            return False  # of those who see more than one tenant no tenant's provider says anything
        is_last = _end_sessions(user, named)
        ended = grants.end_all(user, actor=None, why=WHY, tenant_id=provider.tenant_id) if is_last else 0
        told = {
            "provider": provider.name,
            "issuer": provider.issuer,
            "programs": ended,
            "sessions": len(named) or "all",
        }
        audit.record(
            actor=None,
            action="user.signed_out",
            target=user,
            area=Area.SIGN_IN,
            after=told,
            tenant_id=provider.tenant_id,
        )
    return True


def _end_sessions(user: User, named: list[ProviderSession]) -> bool:
    """Whether the person has left every provider by that. Of sessions whose keys were not written down yet nobody knows
    which they are: then all end."""
    if named and all(row.session_key for row in named):
        is_last = not remembered.has_others(user, than=named)
        remembered.end(named)
        return is_last
    accounts.end_sessions(user, actor=None)
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


def _meant(provider: IdentityProvider, claims: dict[str, Any], named: list[ProviderSession]) -> User | None:
    """None where a session is named that is not known here: the person's others go on (§2.4). If none of theirs has a
    name, as of a provider whose id tokens give none, the person counts. Raises Refused for a session that is somebody
    else's than the person's who is named."""
    user = identities.user_of(provider.issuer, claims["sub"]) if "sub" in claims else None
    if "sid" not in claims:
        return user
    if user is not None and any(row.user_id != user.pk for row in named):
        raise Refused("token: another person's session")
    if named:
        return named[0].user
    return None if user is None or remembered.has_any(user) else user
