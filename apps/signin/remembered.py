"""What is kept of tokens for the day on which a provider says that somebody has left it: digests, and no token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.signin.models import IdentityProvider, ProviderSession, SpentToken

MOST_CHARACTERS = 255  # of a session's or a token's name
_AT_ONCE = 100


def name_of(provider: IdentityProvider, claims: Mapping[str, Any]) -> str:
    """What the id token's session is known by here; "": it names none."""
    sid = claims.get("sid")
    return _digest(provider, sid).hex() if isinstance(sid, str) and 0 < len(sid) <= MOST_CHARACTERS else ""


def remember(name: str, *, session_key: str, user_id: int) -> None:
    """A session here was begun with that one, or begun again, or renewed. What is older than any session here goes."""
    now, digest = timezone.now(), bytes.fromhex(name)
    rows = ProviderSession.objects.filter(session_key=session_key)
    if rows.update(digest=digest, user_id=user_id, at=now):
        return
    ProviderSession.objects.create(digest=digest, session_key=session_key, user_id=user_id, at=now)
    old = ProviderSession.objects.filter(at__lt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE))
    ProviderSession.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_AT_ONCE])).delete()


def forget(session_key: str) -> None:
    """This session began with none, or has another key now."""
    ProviderSession.objects.filter(session_key=session_key).delete()


def sessions_of(provider: IdentityProvider, sid: str) -> list[ProviderSession]:
    """Those that began with that one, and have not been forgotten: of one person."""
    return list(ProviderSession.objects.select_related("user").filter(digest=_digest(provider, sid)).order_by("pk"))


def has_any(user: User) -> bool:
    """Whether the person came in by a session with a name at a provider, in so many days as sessions live."""
    return ProviderSession.objects.filter(user=user).exists()


def has_others(user: User, *, than: Collection[ProviderSession]) -> bool:
    """Whether the person is signed in by another session at a provider than these."""
    rows = ProviderSession.objects.filter(user=user).exclude(pk__in=[row.pk for row in than])
    keys = rows.exclude(session_key="").values("session_key")
    found = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    return user.is_active and any(_is_in(user, session.get_decoded()) for session in found.iterator())


def _is_in(user: User, session: Mapping[str, Any]) -> bool:
    """As `auth.get_user` has it. Sessions that ended with a password or an epoch stay in the table for days."""
    held = session.get(HASH_SESSION_KEY, "")
    good = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return session.get(SESSION_KEY) == str(user.pk) and any(constant_time_compare(held, one) for one in good)


def end(rows: Collection[ProviderSession]) -> None:
    """Nobody is signed in by them any more, and their names are forgotten. The rows go with time: `has_any`."""
    Session.objects.filter(session_key__in=[row.session_key for row in rows]).delete()
    ProviderSession.objects.filter(pk__in=[row.pk for row in rows]).update(digest=b"")


def spend(provider: IdentityProvider, jti: str, *, expires: float) -> bool:
    """False: it was taken before. In a transaction with what it brings about."""
    SpentToken.objects.filter(expires_at__lt=timezone.now() - timedelta(hours=1)).delete()
    try:
        with transaction.atomic():
            SpentToken.objects.create(digest=_digest(provider, jti), expires_at=datetime.fromtimestamp(expires, UTC))
    except IntegrityError:
        return False
    return True


def _digest(provider: IdentityProvider, name: str) -> bytes:
    return sha256(f"{provider.pk} {provider.issuer} {name}".encode(errors="surrogatepass")).digest()
