"""Making, changing and shutting off the people who sign in. Every change is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from axes import utils as axes
from django.contrib.auth.models import Permission
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.runtime import walls

_CHANGEABLE = frozenset({"username", "email", "first_name", "last_name", "is_staff", "is_superuser"})


def create_user(
    *,
    actor: Any,
    username: str,
    email: str = "",
    password: str | None = None,
    first_name: str = "",
    last_name: str = "",
    is_staff: bool = False,
    is_superuser: bool = False,
) -> User:
    """Without a password the user cannot sign in with one. Raises ValidationError."""
    user = User(
        username=User.normalize_username(username),
        email=User.objects.normalize_email(email),
        first_name=first_name,
        last_name=last_name,
        is_staff=is_staff,
        is_superuser=is_superuser,
    )
    _refuse_taken(user.username)
    if password is not None:
        validate_password(password, user)
    user.set_password(password)
    audit.add(user, actor=actor, action="user.created", area=Area.ACCOUNTS)
    return user


def _refuse_taken(username: str, *, but: User | None = None) -> None:
    """Who differs from somebody by capitals alone would be taken for them. Raises ValidationError."""
    others = User.objects.filter(username__iexact=username)
    if (others if but is None else others.exclude(pk=but.pk)).exists():
        raise ValidationError({"username": "A user with that username already exists."})


def update_user(user: User, *, actor: Any, **changes: Any) -> User:
    """Names, address and operator's rights. Raises ValidationError, also for the last operator's rights."""
    with transaction.atomic():
        if "username" in changes:
            _refuse_taken(changes["username"], but=user)
        if changes.get("is_superuser") is False:
            _keep_an_operator(user)
        audit.amend(user, actor=actor, action="user.updated", area=Area.ACCOUNTS, changes=changes, allowed=_CHANGEABLE)
    return user


def set_permissions(user: User, *, actor: Any, permissions: Iterable[Permission]) -> None:
    """What a member of the staff who is no operator may do in the admin."""
    with transaction.atomic():
        before = _permissions(user)
        user.user_permissions.set(permissions)
        after = _permissions(user)
        if before != after:
            audit.record(
                actor=actor,
                action="user.permissions_set",
                target=user,
                area=Area.ACCOUNTS,
                before={"permissions": before},
                after={"permissions": after},
            )


def _permissions(user: User) -> list[str]:
    rows = user.user_permissions.order_by("content_type__app_label", "codename")
    return [f"{label}.{name}" for label, name in rows.values_list("content_type__app_label", "codename")]


def set_password(user: User, *, actor: Any, password: str) -> None:
    """Raises ValidationError for a weak one. The user's sessions end with the old password, and so does a lock."""
    validate_password(password, user)
    user.set_password(password)
    changes = {"password": user.password}
    with transaction.atomic():
        audit.amend(user, actor=actor, action="user.password_set", area=Area.ACCOUNTS, changes=changes)
        with walls.as_installation():
            axes.reset(username=user.username)


def end_sessions(user: User, *, actor: Any) -> None:
    """Wherever the user is signed in, they are no longer. A session that shall go on takes the new hash: see
    Django's `update_session_auth_hash`."""
    with transaction.atomic():
        epoch = User.objects.select_for_update().values_list("session_epoch", flat=True).get(pk=user.pk)
        changes = {"session_epoch": epoch + 1}
        audit.amend(user, actor=actor, action="user.sessions_ended", area=Area.ACCOUNTS, changes=changes)


def deactivate(user: User, *, actor: Any) -> None:
    """The user can no longer sign in, nor can the keys issued for them be used. Raises ValidationError."""
    with transaction.atomic():
        _keep_an_operator(user)
        audit.amend(user, actor=actor, action="user.deactivated", area=Area.ACCOUNTS, changes={"is_active": False})


def activate(user: User, *, actor: Any) -> None:
    audit.amend(user, actor=actor, action="user.activated", area=Area.ACCOUNTS, changes={"is_active": True})


def _keep_an_operator(user: User) -> None:
    """Someone must be left who can administer the site."""
    audit.serialise(Area.ACCOUNTS)
    operators = User.objects.filter(is_superuser=True, is_active=True)
    if operators.filter(pk=user.pk).exists() and not operators.exclude(pk=user.pk).exists():
        raise ValidationError("The last operator cannot be shut off.")
