"""What is kept of tokens for the day on which a provider says that somebody has left it: digests, and no token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.signin.models import IdentityProvider, ProviderSession, SpentToken

MOST_CHARACTERS = 255  # of a session's or a token's name
_AT_ONCE = 100


def remember(provider: IdentityProvider, claims: Mapping[str, Any], user: User) -> None:
    """By the name that the id token gives the session, if it gives one. What is older than any session here goes."""
    sid = claims.get("sid")
    if isinstance(sid, str) and 0 < len(sid) <= MOST_CHARACTERS:
        now = timezone.now()
        ProviderSession.objects.update_or_create(digest=_digest(provider, sid), defaults={"user": user, "at": now})
        old = ProviderSession.objects.filter(at__lt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE))
        ProviderSession.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_AT_ONCE])).delete()


def user_of(provider: IdentityProvider, sid: str) -> User | None:
    found = ProviderSession.objects.select_related("user").filter(digest=_digest(provider, sid)).first()
    return None if found is None else found.user


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
    return sha256(f"{provider.pk} {provider.issuer} {name}".encode()).digest()
