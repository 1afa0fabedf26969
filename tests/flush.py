"""Tests that commit are cleaned up after by emptying what they filled, which the database refuses for audit records
and ledger entries.

Django empties every table and then writes content types and permissions anew: that takes longer than most tests do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

from apps.audit import guards
from apps.usage import append_only

KEPT = frozenset({"django_content_type", "auth_permission"})  # follow from the code; no test changes them
FEW = 500  # rows; beyond, PostgreSQL truncates faster than it deletes


def allow() -> None:
    TransactionTestCase._fixture_teardown = _teardown


def filled() -> list[str]:
    """Tables that a test would have to be cleaned up after, as SQL names them."""
    with connection.cursor() as cursor:
        return [table for table, rows in _counts(cursor).items() if rows]


def _teardown(_case: Any) -> None:
    """In one transaction, and not before others' have ended: threads of a test may still be writing."""
    with transaction.atomic(), _unguarded(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {', '.join(_tables())}")
        counts = _counts(cursor)
        if connection.vendor == "postgresql" and max(counts.values()) == FEW:
            cursor.execute(f"TRUNCATE {', '.join(_tables())}")
            return
        for table in [name for name, rows in counts.items() if rows]:
            cursor.execute(f"DELETE FROM {table}")


@contextmanager
def _unguarded() -> Iterator[None]:
    """For the rest of the transaction. To take triggers off takes PostgreSQL longer than to empty the tables."""
    if connection.vendor == "postgresql" and _is_superuser():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        return
    guards.lift(connection)
    append_only.unprotect(connection)
    yield
    guards.install(connection)
    append_only.protect(connection)


def _counts(cursor: Any) -> dict[str, int]:
    cursor.execute(_counting())
    return dict(cursor.fetchall())


@functools.cache
def _is_superuser() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


@functools.cache
def _tables() -> tuple[str, ...]:
    present = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return tuple(connection.ops.quote_name(name) for name in sorted(set(present) - KEPT))


@functools.cache
def _counting() -> str:
    """Asks for pairs of a table and how many rows it has, at most FEW."""
    return " UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM (SELECT 1 FROM {name} LIMIT {FEW}) AS sample" for name in _tables()
    )
