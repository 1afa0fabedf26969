"""Keys as members of a tenant make and change them: by themselves and within what they may. For portal and API alike.

Whoever manages keys may give any member's key, or nobody's, whatever the tenant has. All others make keys for
themselves, without going before others in a queue, and widen again only what nobody but they has ever changed.
Budgets and limits have no say here: whoever has spent all may still look after their keys.

Each function raises PermissionDenied for what is not theirs to do, ValidationError at the field for what cannot be.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet

from apps.audit import selectors as audit
from apps.keys import services
from apps.keys.models import Key
from apps.keys.services import Issued
from apps.tenants.models import Project, Role, Tenant
from apps.tenants.rights import Right, may
from apps.tenants.selectors import role_of

USUAL_PRIORITY = 0
_LISTS = ("models", "endpoints", "networks")


def keys_of(member: Any, tenant: Tenant) -> QuerySet[Key]:
    """The tenant's keys that a member may see and change: all, or their own. One query for the role."""
    role = role_of(member, tenant)
    if role is None:
        return Key.objects.none()
    found = Key.objects.filter(tenant=tenant)
    return found if may(role, Right.MANAGE_KEYS) else found.filter(user=member)


def issue(*, actor: Any, tenant: Tenant, project: Project, name: str, **scope: Any) -> Issued:
    """A new key; `scope`: see `services.issue`. `user` left out: the actor's own. None, nobody's, is for whoever
    manages keys."""
    role = _role_with(Right.CALL, actor, tenant)
    scope.setdefault("user", actor)
    _check_words(scope)
    _check_project(project, tenant)
    if not may(role, Right.MANAGE_KEYS):
        if scope["user"] is None or scope["user"].pk != actor.pk:
            raise PermissionDenied("A key for somebody else is made by an owner or an admin.")
        _check_priority(scope, at_most=USUAL_PRIORITY)
    return services.issue(actor=actor, tenant=tenant, project=project, name=name, **scope)


def update(key: Key, *, actor: Any, **changes: Any) -> Key:
    """Whatever `services.update` changes."""
    with transaction.atomic():
        stored = Key.objects.select_for_update().select_related("tenant").get(pk=key.pk)
        role = _role_with(Right.CALL, actor, stored.tenant)
        _check_words(changes)
        if "project" in changes and changes["project"] != stored.project:
            _check_project(changes["project"], stored.tenant)
        if not may(role, Right.MANAGE_KEYS):
            _check_own(stored, actor)
            _check_priority(changes, at_most=max(USUAL_PRIORITY, stored.priority))
            _check_width(stored, actor, changes)
        return services.update(key, actor=actor, **changes)


def rotate(key: Key, *, actor: Any, overlap: datetime.timedelta = datetime.timedelta(0)) -> Issued:
    """A new secret, to be shown to the actor once; the old one works for `overlap` longer."""
    if not may(_role_with(Right.CALL, actor, key.tenant), Right.MANAGE_KEYS):
        _check_own(key, actor)
    return services.rotate(key, actor=actor, overlap=overlap)


def revoke(key: Key, *, actor: Any) -> None:
    """One's own is any member's to end, also of one who may no longer make any."""
    if not may(role_of(actor, key.tenant), Right.MANAGE_KEYS):
        _check_own(key, actor)
    services.revoke(key, actor=actor)


def check_theirs(key: Key, *, actor: Any) -> None:
    """Raises PermissionDenied where a member may not change this key at all."""
    if not may(_role_with(Right.CALL, actor, key.tenant), Right.MANAGE_KEYS):
        _check_own(key, actor)


def _role_with(right: Right, actor: Any, tenant: Tenant) -> Role | None:
    role = role_of(actor, tenant)
    if not may(role, right):
        raise PermissionDenied(f"This takes the right to {right}.")
    return role


def _check_own(key: Key, actor: Any) -> None:
    if role_of(actor, key.tenant) is None or key.user_id != actor.pk:
        raise PermissionDenied("This key is somebody else's.")


def _check_project(project: Any, tenant: Tenant) -> None:
    """A project of another tenant is told as one that there is not."""
    if not isinstance(project, Project) or project.tenant_id != tenant.pk:
        raise ValidationError({"project": "There is no such project."})
    if not project.is_active:
        raise ValidationError({"project": "This project has been deactivated."})


def _check_priority(values: dict[str, Any], *, at_most: int) -> None:
    wanted = values.get("priority", at_most)
    if not isinstance(wanted, int) or wanted > at_most:
        raise ValidationError({"priority": f"{at_most} is the most that you may give a key."})


def _check_words(values: dict[str, Any]) -> None:
    for name in _LISTS:
        words = values.get(name)
        if words is not None and not (isinstance(words, list | tuple) and all(isinstance(word, str) for word in words)):
            raise ValidationError({name: "Give a list of words."})


def _check_width(stored: Key, actor: Any, changes: dict[str, Any]) -> None:
    """What somebody else made narrow stays so."""
    wider = [name for name, fits in _FITS.items() if name in changes and not fits(changes[name], getattr(stored, name))]
    if wider and not audit.is_work_of(stored, actor):
        told = "Somebody else has set this: you may make it narrower, or issue another key."
        raise ValidationError(dict.fromkeys(wider, told))


def _within(new: Sequence[str] | None, old: Sequence[str] | None) -> bool:
    return old is None or (new is not None and set(new) <= set(old))


def _within_networks(new: Sequence[str] | None, old: Sequence[str] | None) -> bool:
    if old is None or new is None:
        return old is None
    try:
        return all(any(_is_part(word, of) for of in old) for word in new)
    except ValueError:
        return True  # no network: the service says so


def _is_part(word: str, of: str) -> bool:
    inner: Any = ipaddress.ip_network(word)
    outer: Any = ipaddress.ip_network(of)
    return inner.version == outer.version and bool(inner.subnet_of(outer))


def _within_life(new: datetime.datetime | None, old: datetime.datetime | None) -> bool:
    return old is None or (new is not None and new <= old)


_FITS: dict[str, Callable[[Any, Any], bool]] = {
    "models": _within,
    "endpoints": _within,
    "networks": _within_networks,
    "expires_at": _within_life,
}
