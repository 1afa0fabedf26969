"""Who belongs where, and what is open for business."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import QuerySet

from apps.domain.snapshot import Outage
from apps.tenants import models
from apps.tenants.models import Membership, Project, Role, Tenant

MOST_SHOWN = 100


def active_tenants() -> dict[int, Outage]:
    """Ids, each with what it gets in an outage. One query."""
    return dict(Tenant.objects.filter(is_active=True).order_by().values_list("pk", "on_outage"))


def active_projects() -> frozenset[int]:
    """Ids of the active projects of active tenants. One query."""
    found = Project.objects.filter(is_active=True, tenant__is_active=True)
    return frozenset(found.order_by().values_list("pk", flat=True))


class Place(NamedTuple):
    """Where somebody is. `is_member`: by themselves, and not as an operator."""

    tenant: Tenant
    role: Role
    is_member: bool


def slugs(ids: Iterable[int]) -> dict[int, str]:
    """The short names of tenants. One query."""
    return dict(Tenant.objects.filter(pk__in=set(ids)).values_list("pk", "slug"))


def place_of(user: Any, slug: str) -> Place | None:
    """In the tenant of that slug, if `user` is a member of it or an operator. One query; two for who is no member."""
    member = Membership.objects.select_related("tenant").filter(user=user, tenant__slug=slug).first()
    if member is not None:
        return Place(member.tenant, Role.OWNER if user.is_superuser else Role(member.role), True)
    tenant = Tenant.objects.for_user(user).filter(slug=slug).first()
    return None if tenant is None else Place(tenant, Role.OWNER, False)


def tenants_of(user: Any) -> list[Tenant]:
    """Those that `user` may look at, by name; of an operator the first hundred. One query."""
    return list(Tenant.objects.for_user(user).order_by("name")[:MOST_SHOWN])


def projects_of(tenant: Tenant) -> list[Project]:
    """All of the tenant's, by name. One query."""
    return list(Project.objects.filter(tenant=tenant).order_by("name", "pk"))


def members_of(tenant: Tenant) -> list[Membership]:
    """With their users, those who may most first, then by name. One query."""
    rows = Membership.objects.filter(tenant=tenant).select_related("user").order_by("user__username")
    return sorted(rows, key=lambda row: list(Role).index(Role(row.role)))


def users_among(tenant: Tenant, ids: Iterable[int]) -> dict[int, Any]:
    """Of these users the tenant's members, by id. One query."""
    rows = Membership.objects.filter(tenant=tenant, user__in=ids).select_related("user")
    return {row.user_id: row.user for row in rows}


def members(tenant: Tenant) -> QuerySet[Membership]:
    """With their users, for lists by page."""
    return Membership.objects.filter(tenant=tenant).select_related("user", "tenant")


def member_ids(tenant: Tenant) -> frozenset[int]:
    """Of its users. One query."""
    return frozenset(Membership.objects.filter(tenant=tenant).order_by().values_list("user_id", flat=True))


def timezones() -> list[str]:
    """What a tenant's may be called, in order."""
    return sorted(models.timezones())


def outages() -> list[tuple[str, str]]:
    """What a tenant may choose to get in one, in words."""
    return [(str(value), str(label)) for value, label in models.Outage.choices]


def role_of(user: Any, tenant: Tenant) -> Role | None:
    """What `user` is in `tenant`; None: nothing. An operator (superuser) is an owner everywhere."""
    if not user.is_active or user.pk is None:
        return None
    if user.is_superuser:
        return Role.OWNER
    role = Membership.objects.filter(tenant=tenant, user=user).values_list("role", flat=True).first()
    return None if role is None else Role(role)


def is_at_least(role: Role | None, required: Role) -> bool:
    """Whether `role` may do what `required` may."""
    order = list(Role)  # from the most to the least
    return role is not None and order.index(role) <= order.index(required)
