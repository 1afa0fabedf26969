"""Members, projects and settings as members of a tenant change them: within what their role may. For portal and API.

Nobody gives, changes or takes a role above their own. Each function raises PermissionDenied for what is not theirs to
do, and ValidationError for what cannot be.
"""

from __future__ import annotations

import itertools
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils.text import slugify

from apps.tenants import services
from apps.tenants.models import Membership, Project, Tenant
from apps.tenants.rights import Right, may_give, may_user
from apps.tenants.selectors import role_of

_ROOM = 8  # of a slug, for what tells it from others
_SETTINGS = frozenset({"name", "timezone", "on_outage"})


def change_role(membership: Membership, *, actor: Any, role: str) -> Membership:
    with transaction.atomic():
        stored = _theirs(membership, actor=actor)
        if not may_give(role_of(actor, stored.tenant), services.role_named(role)):
            raise PermissionDenied(f"You may not make anybody {role} of {stored.tenant}.")
        return services.change_role(stored, actor=actor, role=role)


def remove_member(membership: Membership, *, actor: Any) -> None:
    with transaction.atomic():
        services.remove_member(_theirs(membership, actor=actor), actor=actor)


def create_project(tenant: Tenant, *, actor: Any, name: str) -> Project:
    """Its slug is made of the name."""
    _require(Right.MANAGE_PROJECTS, actor, tenant)
    with transaction.atomic():
        _check_name(name, tenant)
        return services.create_project(tenant, actor=actor, name=name, slug=_free_slug(name, tenant))


def rename_project(project: Project, *, actor: Any, name: str) -> Project:
    """It keeps its slug."""
    _require(Right.MANAGE_PROJECTS, actor, project.tenant)
    with transaction.atomic():
        _check_name(name, project.tenant, but=project.pk)
        return services.update_project(project, actor=actor, name=name)


def switch_project(project: Project, *, actor: Any, on: bool) -> None:
    _require(Right.MANAGE_PROJECTS, actor, project.tenant)
    (services.activate_project if on else services.deactivate_project)(project, actor=actor)


def update_settings(tenant: Tenant, *, actor: Any, **changes: Any) -> Tenant:
    """`name`, `timezone`, `on_outage`."""
    _require(Right.MANAGE_SETTINGS, actor, tenant)
    if others := changes.keys() - _SETTINGS:
        raise TypeError(f"not a member's to change: {', '.join(sorted(others))}")
    return services.update_tenant(tenant, actor=actor, **changes)


def _check_name(name: str, tenant: Tenant, *, but: int | None = None) -> None:
    """Two at the same moment queue up at the tenant's row."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    if Project.objects.filter(tenant=tenant, name__iexact=name.strip()).exclude(pk=but).exists():
        raise ValidationError({"name": "There is a project of this name already."})


def _free_slug(name: str, tenant: Tenant) -> str:
    longest = Project._meta.get_field("slug").max_length or 0
    own = slugify(name)[: longest - _ROOM].strip("-") or "project"
    taken = set(Project.objects.filter(tenant=tenant, slug__startswith=own).values_list("slug", flat=True))
    return next(
        slug for slug in itertools.chain([own], (f"{own}-{n}" for n in itertools.count(2))) if slug not in taken
    )


def _theirs(membership: Membership, *, actor: Any) -> Membership:
    """As it is stored, kept from changing."""
    stored: Membership = Membership.objects.select_for_update().select_related("tenant").get(pk=membership.pk)
    if not may_give(role_of(actor, stored.tenant), services.role_named(stored.role)):
        raise PermissionDenied(f"You may not change or remove an {stored.get_role_display().lower()}.")
    return stored


def _require(right: Right, actor: Any, tenant: Tenant) -> None:
    if not may_user(actor, tenant, right):
        raise PermissionDenied(f"Your role in {tenant} does not let you {right}.")
