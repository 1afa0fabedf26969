"""Monthly partitions of the ledger on PostgreSQL, made ahead; nothing to do on SQLite.

The bounds are ids: an entry's id begins with the milliseconds of its request, so a range of ids is a range of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.domain import ids

TABLE = "usage_entry"
MONTHS_AHEAD = 3
# Any number will do, so long as nothing else takes the same lock.
_LOCK = 0x57454952
_NO_PARTITION = "23514"
# Of a month of ten million rows PostgreSQL would look again only after two million more: until then what is read along
# an index is read from the table too. A filtered list of calls took 300 ms before, and 84 after.
STORAGE = "autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02"


def ensure(now: datetime, *, months_ahead: int = MONTHS_AHEAD) -> list[str]:
    """Makes the month of `now`, the one before it (late rows) and those ahead. Returns the names of new ones."""
    return _make(_months(before(month_of(now)), count=months_ahead + 2))


def cover(entries: list[UUID]) -> list[str]:
    """Makes the months of these entry ids. Returns the names of new ones."""
    return _make(sorted({month_of(moment_of(entry)) for entry in entries}))


def names() -> list[str]:
    """Of all months that there are, on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [TABLE])
        return sorted(name for (name,) in cursor.fetchall())


def is_missing(error: Exception) -> bool:
    """True if an insert failed because no partition holds its id."""
    return getattr(error.__cause__, "sqlstate", "") == _NO_PARTITION and "no partition" in str(error)


def bounds(month: datetime) -> tuple[UUID, UUID]:
    """The first id of the month and the first that is not in it."""
    return _floor(month), _floor(after(month))


def name_of(month: datetime) -> str:
    return f"{TABLE}_{month:%Y_%m}"


def month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def before(month: datetime) -> datetime:
    return month.replace(year=month.year - (month.month == 1), month=(month.month - 2) % 12 + 1)


def moment_of(entry: UUID) -> datetime:
    return datetime.fromtimestamp(ids.milliseconds(entry) / 1000, UTC)


def create_parent(schema_editor: Any, model: Any) -> None:
    """The table and its indexes, for the first migration."""
    if schema_editor.connection.vendor != "postgresql":
        schema_editor.create_model(model)
        return
    sql, params = schema_editor.table_sql(model)
    schema_editor.execute(f"{sql} PARTITION BY RANGE (id)", params or None)
    for index in model._meta.indexes:
        schema_editor.add_index(model, index)


def _make(months: list[datetime]) -> list[str]:
    if connection.vendor != "postgresql":
        return []
    return [name for month in months if (name := _make_one(month))]


def _make_one(month: datetime) -> str | None:
    """Made apart and then attached, which does not keep readers and writers out as PARTITION OF would."""
    name = name_of(month)
    low, high = bounds(month)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone()[0]:
            return None
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH ({STORAGE})")
        cursor.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    return name


def _months(first: datetime, *, count: int) -> list[datetime]:
    def run() -> Iterator[datetime]:
        month = first
        for _ in range(count):
            yield month
            month = after(month)

    return list(run())


def _floor(moment: datetime) -> UUID:
    return ids.floor(int(moment.timestamp()) * 1000)
