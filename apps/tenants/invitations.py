"""Inviting people by e-mail address. Whoever accepts shows the token that was sent there, and has that address.

What an invitation gives is what its sender may still give at the moment that it is accepted.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.tenants import services
from apps.tenants.models import Invitation, Membership, Tenant
from apps.tenants.rights import may_give
from apps.tenants.selectors import role_of

LASTS = datetime.timedelta(days=7)
MOST_OPEN = 200  # a tenant's
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 100


class Invited(NamedTuple):
    """`token` exists here only: send it and forget it."""

    invitation: Invitation
    token: str

    def __repr__(self) -> str:
        return f"Invited({self.invitation})"


def invite(tenant: Tenant, *, actor: Any, email: str, role: str) -> Invited:
    """One that is open already for the address is withdrawn. Raises PermissionDenied, and ValidationError for a member
    and for what is no address."""
    if not may_give(role_of(actor, tenant), services.role_named(role)):
        raise PermissionDenied(f"You may not make anybody {role} of {tenant}.")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    invitation = Invitation(
        tenant=tenant,
        email=User.objects.normalize_email(email.strip()),
        role=role,
        digest=_digest(token),
        invited_by=actor,
        expires_at=timezone.now() + LASTS,
    )
    with transaction.atomic():
        Tenant.objects.select_for_update().get(pk=tenant.pk)
        if Membership.objects.filter(tenant=tenant, user__email__iexact=invitation.email).exists():
            raise ValidationError({"email": f"This person is a member of {tenant} already."})
        for former in _open(tenant).filter(email__iexact=invitation.email):
            withdraw(former, actor=actor)
        if len(_open(tenant).values_list("pk")[:MOST_OPEN]) >= MOST_OPEN:
            raise ValidationError(f"{MOST_OPEN} invitations are open: withdraw some, or wait until they are accepted.")
        audit.add(invitation, actor=actor, action="invitation.sent", area=Area.ACCOUNTS)
    return Invited(invitation, token)


def withdraw(invitation: Invitation, *, actor: Any) -> None:
    """Raises PermissionDenied for whom the actor could not have invited so. Withdrawing twice is once."""
    if not may_give(role_of(actor, invitation.tenant), services.role_named(invitation.role)):
        raise PermissionDenied("This invitation is not yours to withdraw.")
    with transaction.atomic():
        stored = Invitation.objects.select_for_update().get(pk=invitation.pk)
        if stored.accepted_at is None and stored.withdrawn_at is None:
            changes = {"withdrawn_at": timezone.now()}
            audit.amend(stored, actor=actor, action="invitation.withdrawn", area=Area.ACCOUNTS, changes=changes)


def presented(token: str) -> Invitation | None:
    """The invitation of this token that can be accepted now; None: there is none. At most three queries."""
    if not token or len(token) > _LONGEST_TOKEN:
        return None
    found = Invitation.objects.select_related("tenant", "invited_by").filter(digest=_digest(token)).first()
    return found if found is not None and _is_good(found) else None


def accept(invitation: Invitation, *, user: User) -> Membership:
    """Makes `user` a member, once. Raises ValidationError for anybody else than the one who was invited, for a member,
    and where it is good no longer."""
    if not user.email or user.email.casefold() != invitation.email.casefold():
        raise ValidationError("This invitation is for another e-mail address.")
    with transaction.atomic():
        stored = Invitation.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=invitation.pk)
        if not _is_good(stored) or not user.is_active:
            raise ValidationError("This invitation is good no longer.")
        changes = {"accepted_at": timezone.now()}
        audit.amend(stored, actor=user, action="invitation.accepted", area=Area.ACCOUNTS, changes=changes)
        if Membership.objects.filter(tenant=stored.tenant, user=user).exists():
            raise ValidationError(f"You are a member of {stored.tenant} already.")
        return services.add_member(stored.tenant, actor=stored.invited_by, user=user, role=stored.role)


def join(invitation: Invitation, *, username: str, password: str, first_name: str = "", last_name: str = "") -> User:
    """A new account of the invited address, and its membership. Raises ValidationError."""
    with transaction.atomic():
        user = accounts.create_user(
            actor=invitation.invited_by,
            username=username,
            email=invitation.email,
            password=password,
            first_name=first_name,
            last_name=last_name,
        )
        accept(invitation, user=user)
    return user


def open_of(tenant: Tenant) -> list[Invitation]:
    """Those that wait to be accepted, the newest first. One query."""
    rows = _open(tenant).filter(expires_at__gt=timezone.now()).select_related("invited_by")
    return list(rows.order_by("-pk")[:MOST_OPEN])


def has_account(invitation: Invitation) -> bool:
    """Whether somebody has the address already: they sign in."""
    return User.objects.filter(email__iexact=invitation.email).exists()


def _open(tenant: Tenant) -> Any:
    return Invitation.objects.filter(tenant=tenant, accepted_at=None, withdrawn_at=None)


def _is_good(invitation: Invitation) -> bool:
    is_open = invitation.accepted_at is None and invitation.withdrawn_at is None
    if not is_open or invitation.expires_at <= timezone.now() or not invitation.tenant.is_active:
        return False
    sender = invitation.invited_by
    return sender is not None and may_give(role_of(sender, invitation.tenant), services.role_named(invitation.role))


def _digest(token: str) -> str:
    """The token has 256 random bits: nothing is gained by making this slow."""
    return hashlib.sha256(token.encode()).hexdigest()
