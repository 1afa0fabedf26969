"""The secret that a member's browser calls with from the portal: of a key of their own, and for minutes.

So that limits, budgets, policies and the ledger have nothing to know of the portal: see docs/decisions/0032. The key is
the member's oldest working one in the project that is named NAME. It may be restrained or revoked as any other; with
the next call from the portal whoever has none gets one.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.keys import services
from apps.keys.models import Key
from apps.tenants.models import Project, Tenant
from apps.tenants.rights import Right, may_user

NAME = "Playground"
LIFETIME = datetime.timedelta(minutes=15)
STRANGER = "Calls are booked to a member: ask for a membership of {}, then try it here."


class Lent(NamedTuple):
    """`plaintext` is for the member's browser to hold, and for nothing to keep."""

    key: Key
    plaintext: str
    until: datetime.datetime

    def __repr__(self) -> str:
        return f"Lent({self.key})"


def is_member(user: Any, tenant: Tenant) -> bool:
    """An operator need not be one. One query."""
    return bool(user.memberships.filter(tenant=tenant).exists())


def lend(*, member: Any, tenant: Tenant, project: Project) -> Lent:
    """Raises PermissionDenied for whoever may not call, ValidationError for who is no member, and where the project is
    no open one of the tenant's."""
    if not may_user(member, tenant, Right.CALL):
        raise PermissionDenied(f"This takes the right to {Right.CALL}.")
    if not is_member(member, tenant):
        raise ValidationError(STRANGER.format(tenant))
    if project.tenant_id != tenant.pk or not project.is_active or not tenant.is_active:
        raise ValidationError({"project": "There is no such project that is open."})
    until = timezone.now() + LIFETIME
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=member.pk)  # who asks twice at once gets one key
        key = _own(member, project)
        issued = (
            services.issue(actor=member, tenant=tenant, project=project, name=NAME, user=member, secret_until=until)
            if key is None
            else services.lend(key, actor=member, until=until)
        )
    return Lent(issued.key, issued.plaintext, until)


def _own(member: Any, project: Project) -> Key | None:
    """Without an end: one that was given an end by hand is not the portal's to prolong."""
    found = Key.objects.filter(user=member, project=project, name=NAME, revoked_at=None, expires_at=None)
    return found.order_by("pk").first()
