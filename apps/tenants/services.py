"""Tenants, projects and members. Every change is recorded.

A membership is a matter of accounts as far as other processes are concerned: it decides whether a person's keys work.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.tenants.models import Membership, Project, Role, Tenant

_TENANT_FIELDS = frozenset({"name", "slug", "timezone", "is_active", "on_outage"})
_PROJECT_FIELDS = frozenset({"name", "slug", "is_active"})


def create_tenant(
    *, actor: Any, name: str, slug: str | None = None, timezone: str = "UTC", owner: User | None = None
) -> Tenant:
    """Raises ValidationError."""
    with transaction.atomic():
        tenant = Tenant(name=name, slug=slug or slugify(name), timezone=timezone)
        audit.add(tenant, actor=actor, action="tenant.created", area=Area.TENANTS)
        if owner is not None:
            add_member(tenant, actor=actor, user=owner, role=Role.OWNER)
    return tenant


def update_tenant(tenant: Tenant, *, actor: Any, **changes: Any) -> Tenant:
    """`name`, `slug`, `timezone`, `is_active`, `on_outage`. Raises ValidationError."""
    return _amend_tenant(tenant, actor=actor, action="tenant.updated", changes=changes)


def deactivate_tenant(tenant: Tenant, *, actor: Any) -> None:
    """Its keys stop working; nothing is deleted."""
    _amend_tenant(tenant, actor=actor, action="tenant.deactivated", changes={"is_active": False})


def activate_tenant(tenant: Tenant, *, actor: Any) -> None:
    _amend_tenant(tenant, actor=actor, action="tenant.activated", changes={"is_active": True})


def _amend_tenant(tenant: Tenant, *, actor: Any, action: str, changes: dict[str, Any]) -> Tenant:
    audit.amend(
        tenant,
        actor=actor,
        action=action,
        area=Area.TENANTS,
        changes=changes,
        allowed=_TENANT_FIELDS,
        tenant_id=tenant.pk,
    )
    return tenant


def create_project(tenant: Tenant, *, actor: Any, name: str, slug: str | None = None) -> Project:
    """Raises ValidationError."""
    project = Project(tenant=tenant, name=name, slug=slug or slugify(name))
    audit.add(project, actor=actor, action="project.created", area=Area.TENANTS)
    return project


def update_project(project: Project, *, actor: Any, **changes: Any) -> Project:
    """`name`, `slug`, `is_active`; a project never moves to another tenant. Raises ValidationError."""
    audit.amend(
        project, actor=actor, action="project.updated", area=Area.TENANTS, changes=changes, allowed=_PROJECT_FIELDS
    )
    return project


def deactivate_project(project: Project, *, actor: Any) -> None:
    audit.amend(project, actor=actor, action="project.deactivated", area=Area.TENANTS, changes={"is_active": False})


def activate_project(project: Project, *, actor: Any) -> None:
    audit.amend(project, actor=actor, action="project.activated", area=Area.TENANTS, changes={"is_active": True})


def role_named(word: str) -> Role:
    """Raises ValidationError for what is no role."""
    try:
        return Role(word)
    except ValueError:
        raise ValidationError({"role": "There is no such role."}) from None


def add_member(tenant: Tenant, *, actor: Any, user: User, role: str = Role.DEVELOPER) -> Membership:
    """Raises ValidationError, also for somebody who is a member already."""
    membership = Membership(tenant=tenant, user=user, role=role)
    audit.add(membership, actor=actor, action="member.added", area=Area.ACCOUNTS)
    return membership


def change_role(membership: Membership, *, actor: Any, role: str) -> Membership:
    """Raises ValidationError, also where the tenant would be left without an owner."""
    with transaction.atomic():
        if role != Role.OWNER:
            _keep_an_owner(membership)
        audit.amend(membership, actor=actor, action="member.role_changed", area=Area.ACCOUNTS, changes={"role": role})
    return membership


def remove_member(membership: Membership, *, actor: Any) -> None:
    """The keys issued for the person in this tenant stop working. Raises ValidationError for the last owner."""
    with transaction.atomic():
        _keep_an_owner(membership)
        audit.remove(membership, actor=actor, action="member.removed", area=Area.ACCOUNTS)


def _keep_an_owner(membership: Membership) -> None:
    """Two owners who leave at the same moment queue up at the tenant's row."""
    Tenant.objects.select_for_update().get(pk=membership.tenant_id)
    owners = Membership.objects.filter(tenant=membership.tenant_id, role=Role.OWNER)
    if owners.filter(pk=membership.pk).exists() and not owners.exclude(pk=membership.pk).exists():
        raise ValidationError("The last owner of a tenant stays.")
