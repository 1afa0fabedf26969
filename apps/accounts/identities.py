"""Who somebody is to the issuers of tokens that say so: to providers that people sign in with, and to those whose
tokens their programs call with."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.accounts.models import Identity, User
from apps.audit import services as audit
from apps.audit.models import Area


def user_of(issuer: str, subject: str) -> User | None:
    """Whom a token names that `issuer` made, whatever else is in it. One query."""
    found = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    return None if found is None else found.user


def of(user: Any) -> QuerySet[Identity]:
    return Identity.objects.filter(user_id=user.pk).order_by("issuer", "pk")


def link(user: User, *, actor: Any, issuer: str, subject: str) -> Identity:
    """Raises ValidationError where it is somebody's already."""
    identity = Identity(user=user, issuer=issuer, subject=subject)
    audit.add(identity, actor=actor, action="identity.linked", area=Area.ACCOUNTS)
    return identity


def unlink(identity: Identity, *, actor: Any) -> None:
    audit.remove(identity, actor=actor, action="identity.unlinked", area=Area.ACCOUNTS)
