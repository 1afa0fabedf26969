"""All tenants with what is theirs, for whoever manages them; and what somebody is where."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.tenants.models import Membership, Project, Role, Tenant


def tenants() -> QuerySet[Tenant]:
    return Tenant.objects.all()


def projects() -> QuerySet[Project]:
    return Project.objects.select_related("tenant")


def memberships() -> QuerySet[Membership]:
    return Membership.objects.select_related("tenant", "user")


def roles(user: Any, *, only: int | None = None) -> dict[int, Role]:
    """By tenant; `only`: in this one, where an operator is an owner, as `role_of` has it. At most one query."""
    if not user.is_active or user.pk is None:
        return {}
    if user.is_superuser and only is not None:
        return {only: Role.OWNER}
    rows = Membership.objects.filter(user=user, **({} if only is None else {"tenant": only}))
    return {tenant: Role(role) for tenant, role in rows.order_by().values_list("tenant_id", "role")}
