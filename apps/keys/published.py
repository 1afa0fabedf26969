"""What other systems are told of keys, and of programs that people have signed in: key.* and grant.*.

In the transaction that makes it so. No secret is in it, nor what one could be found by.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import QuerySet

from apps.events import outbox
from apps.keys.models import Grant, Key

Actor = Any  # a user; None: the system


def tell(kind: str, key: Key, *, actor: Actor, **more: Any) -> None:
    """`more`: what this kind says besides."""
    if not outbox.is_wanted(outbox.wanted(), f"key.{kind}"):
        return
    data = {
        "key": {"id": key.pk, "public_id": key.public_id, "name": key.name},
        **_whose(key),
        "expires_at": _moment(key.expires_at),
        "actor": _person(actor),
    }
    outbox.emit(f"key.{kind}", tenant_id=key.tenant_id, subject=f"key/{key.public_id}", data=data | _plain(more))


def tell_all(kind: str, keys: QuerySet[Key], *, actor: Actor, **more: Any) -> None:
    """The same of each. Where nobody wants to hear it, none is read."""
    if not outbox.is_wanted(outbox.wanted(), f"key.{kind}"):
        return
    for key in keys.select_related("tenant", "project", "user"):
        tell(kind, key, actor=actor, **more)


def tell_of_grant(kind: str, grant: Grant, *, actor: Actor, **more: Any) -> None:
    if not outbox.is_wanted(outbox.wanted(), f"grant.{kind}"):
        return
    data = {"grant": {"id": grant.pk, "client": grant.client}, **_whose(grant), "actor": _person(actor)}
    outbox.emit(f"grant.{kind}", tenant_id=grant.tenant_id, subject=f"grant/{grant.pk}", data=data | _plain(more))


def _whose(row: Key | Grant) -> dict[str, Any]:
    return {
        **{name: {"id": of.pk, "slug": of.slug, "name": of.name} for name, of in _places(row)},
        "user": _person(row.user),
    }


def _places(row: Key | Grant) -> tuple[tuple[str, Any], ...]:
    return ("tenant", row.tenant), ("project", row.project)


def _plain(more: dict[str, Any]) -> dict[str, Any]:
    return {name: _moment(value) if isinstance(value, datetime.datetime) else value for name, value in more.items()}


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _person(user: Actor) -> dict[str, Any] | None:
    return None if user is None else {"id": user.pk, "username": user.get_username()}
