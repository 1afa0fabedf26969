"""Events are written in the very transaction that makes what they tell of, and only where a sink wants them.

What is asked first is which kinds any sink wants: one small query. A sink that is made while a transaction runs hears
of what is written after it; "from now on" is no sharper than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.transaction import TransactionManagementError

from apps.events.models import Event
from apps.runtime import walls

Reference = tuple[UUID, str, int]  # what it tells of, the kind, the tenant
# Constants and placeholders only.
_WANTED = "SELECT kinds FROM events_sink WHERE is_enabled OR kept_until > CURRENT_TIMESTAMP"
_REFER_POSTGRESQL = """INSERT INTO events_event (uid, kind, tenant_id)
    SELECT uid, kind, tenant FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS told (uid, kind, tenant)"""
_REFER_SQLITE = "INSERT INTO events_event (uid, kind, tenant_id) VALUES (%s, %s, %s)"
_ALL = frozenset({""})


@walls.as_installation()
def emit(kind: str, *, tenant_id: int | None, subject: str, data: Mapping[str, Any]) -> None:
    """Inside the caller's transaction. `data` is what the event says: plain JSON, without secrets, and final.

    Raises TransactionManagementError outside a transaction: an event stands or falls with what it tells of.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An event is written inside the transaction that makes what it tells of.")
    if is_wanted(wanted(), kind):
        Event.objects.create(
            kind=kind, tenant_id=tenant_id, subject=subject[:200], data=msgspec.to_builtins(dict(data), str_keys=True)
        )


def refer(references: Iterable[Reference]) -> None:
    """Events that say what rows say which never change: their order is kept, and they are rendered when they are sent.
    One query where no sink wants any of them, else two. Inside the caller's transaction."""
    kinds = wanted()
    if not kinds:
        return
    rows = [reference for reference in references if is_wanted(kinds, reference[1])]
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_REFER_POSTGRESQL, [list(column) for column in zip(*rows, strict=True)])
        else:
            cursor.executemany(_REFER_SQLITE, [(uid.hex, kind, tenant) for uid, kind, tenant in rows])


@walls.as_installation()
def wanted() -> frozenset[str]:
    """The kinds that any sink listens for; with "" in it: all of them."""
    with connection.cursor() as cursor:
        cursor.execute(_WANTED)
        rows = cursor.fetchall()
    if not rows:
        return frozenset()
    return _ALL if ("",) in rows else frozenset(word for (kinds,) in rows for word in kinds.split())


def is_wanted(kinds: frozenset[str], kind: str) -> bool:
    return kind in kinds or "" in kinds
