"""Issuing and revoking tokens. Every change is recorded; each function raises ValidationError for what cannot be."""

from __future__ import annotations

import datetime
import secrets
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.access import rotation
from apps.access.models import Scope, Token
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import data_keys
from apps.catalog.models import Purpose
from apps.domain import keys as format_of_keys
from apps.tenants.models import Tenant
from apps.tenants.selectors import role_of

USUAL_LIFETIME = datetime.timedelta(days=90)
LONGEST_LIFETIME = datetime.timedelta(days=366)
MOST_TOKENS = 50
_GRAIN = datetime.timedelta(minutes=1)


class Issued(NamedTuple):
    """`plaintext` exists here only: show it once and forget it."""

    token: Token
    plaintext: str

    def __repr__(self) -> str:
        return f"Issued({self.token})"


def issue(
    user: User,
    *,
    name: str,
    scope: str = Scope.READ,
    tenant: Tenant | None = None,
    expires_at: datetime.datetime | None = None,
) -> Issued:
    """A token of the user's own: nobody gets one that acts as somebody else. It works for 90 days by default."""
    now = timezone.now()
    until = expires_at or now + USUAL_LIFETIME
    _check_expiry(until, now=now)
    if tenant is not None and role_of(user, tenant) is None:
        raise ValidationError({"tenant": "You are not a member of this tenant."})
    if Token.objects.filter(user=user, revoked_at=None, expires_at__gt=now).count() >= MOST_TOKENS:
        raise ValidationError(f"There are {MOST_TOKENS} working tokens already: revoke one first.")
    plaintext = format_of_keys.mint(
        public_bits=secrets.randbelow(format_of_keys.PUBLIC_IDS),
        secret_bits=secrets.randbelow(format_of_keys.SECRETS),
        prefix=format_of_keys.OF_TOKENS,
    )
    pepper = data_keys.newest(None, purpose=Purpose.API_TOKENS)
    token = Token(
        user_id=user.pk,
        tenant=tenant,
        name=name,
        scope=scope,
        public_id=format_of_keys.public_id(plaintext, prefix=format_of_keys.OF_TOKENS),
        last_four=plaintext[-4:],
        digest=format_of_keys.digest(plaintext, pepper=data_keys.opened(pepper)),
        pepper=pepper,
        expires_at=until,
    )
    audit.add(token, actor=user, action="token.issued", area=Area.ACCOUNTS)
    return Issued(token, plaintext)


def revoke(token: Token, *, actor: Any) -> None:
    """For good. Revoking twice is once."""
    with transaction.atomic():
        stored = Token.objects.select_for_update().get(pk=token.pk)
        if stored.revoked_at is None:
            changes = {"revoked_at": timezone.now()}
            audit.amend(stored, actor=actor, action="token.revoked", area=Area.ACCOUNTS, changes=changes)
    token.refresh_from_db()


def touch(token: Token, plaintext: str, *, address: str | None) -> None:
    """Remember a use, at the grain of a minute, and move the token to the newest pepper. Not recorded."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at + _GRAIN <= now:
        rows = Token.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=now - _GRAIN), pk=token.pk)
        rows.update(last_used_at=now, last_used_ip=address)
        if getattr(token, "newest_pepper", token.pepper_id) != token.pepper_id:  # as whoever looked it up has seen
            rotation.make_anew(token, plaintext)


def _check_expiry(moment: datetime.datetime, *, now: datetime.datetime) -> None:
    if moment <= now:
        raise ValidationError({"expires_at": "The expiry lies in the past."})
    if moment > now + LONGEST_LIFETIME:
        raise ValidationError({"expires_at": f"A token works for {LONGEST_LIFETIME.days} days at most."})
