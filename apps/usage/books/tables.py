"""The tables themselves: nobody can change a row of the ledger, and every row lies in the partition of its month."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django.db import connection

from apps.usage import append_only, partitions
from apps.usage.books.promises import Finding, rows

_PARTITIONS = """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.oid FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass ORDER BY 1"""
_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND tgenabled <> 'D'"
_MONTH = re.compile(rf"{partitions.TABLE}_(\d{{4}})_(\d{{2}})")


def check() -> list[Finding]:
    guarded = Finding("append-only", "The database refuses to change or delete a row of the ledger.")
    placed = Finding("partitions", "A partition of the ledger holds the month that it is named for, and none is left.")
    if connection.vendor == "postgresql":
        _postgresql(guarded, placed)
    else:
        _expect(guarded, partitions.TABLE, append_only.names(connection), _sqlite_triggers())
    return [guarded, placed]


def _postgresql(guarded: Finding, placed: Finding) -> None:
    ((parent,),) = rows("SELECT %s::regclass::oid", [partitions.TABLE])
    _expect(guarded, partitions.TABLE, append_only.names(connection), _triggers(parent))
    for name, bounds, oid in rows(_PARTITIONS, [partitions.TABLE]):
        placed.count(1)
        if (expected := _bounds(name)) != bounds:
            placed.accuse(name, expected=expected or "no such partition", found=bounds)
        # That no row goes unnoticed when somebody works on a partition by its own name. TRUNCATE is the parent's.
        _expect(guarded, name, [f"{partitions.TABLE}_refuse"], _triggers(oid))


def _bounds(name: str) -> str | None:
    """As PostgreSQL writes those of the month that the partition is named for."""
    found = _MONTH.fullmatch(name)
    if found is None:
        return None
    low, high = partitions.bounds(datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC))
    return f"FOR VALUES FROM ('{low}') TO ('{high}')"


def _triggers(oid: int) -> set[str]:
    return {name for (name,) in rows(_TRIGGERS, [oid])}


def _sqlite_triggers() -> set[str]:
    found = rows("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [partitions.TABLE])
    return {name for (name,) in found}


def _expect(finding: Finding, table: str, names: list[str], present: set[str]) -> None:
    finding.count(1)
    for name in names:
        if name not in present:
            finding.accuse(table, expected=name, found="no such trigger, or it is off")
