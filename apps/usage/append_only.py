"""The database itself refuses to change or delete a ledger entry.

On PostgreSQL retention drops whole partitions, which no trigger sees. On SQLite it takes the triggers off and puts
them back within one transaction.
"""

from __future__ import annotations

from typing import Any

from apps.usage.partitions import TABLE

MESSAGE = "ledger entries are append-only"

_POSTGRESQL = (
    f"""CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'restrict_violation'; END $$""",
    f"""CREATE OR REPLACE TRIGGER {TABLE}_refuse BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()""",
    f"""CREATE OR REPLACE TRIGGER {TABLE}_refuse_truncate BEFORE TRUNCATE ON {TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()""",
)
_POSTGRESQL_OFF = (
    f"DROP TRIGGER IF EXISTS {TABLE}_refuse ON {TABLE}",
    f"DROP TRIGGER IF EXISTS {TABLE}_refuse_truncate ON {TABLE}",
)
_SQLITE = tuple(
    f"""CREATE TRIGGER IF NOT EXISTS {TABLE}_refuse_{action} BEFORE {action} ON {TABLE}
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"""
    for action in ("update", "delete")
)
_SQLITE_OFF = tuple(f"DROP TRIGGER IF EXISTS {TABLE}_refuse_{action}" for action in ("update", "delete"))


def protect(connection: Any) -> None:
    _run(connection, _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE)


def unprotect(connection: Any) -> None:
    """For SQLite's retention, and for a test run that empties its own database."""
    _run(connection, _POSTGRESQL_OFF if connection.vendor == "postgresql" else _SQLITE_OFF)


def names(connection: Any) -> list[str]:
    """Of the triggers."""
    actions = ("", "_truncate") if connection.vendor == "postgresql" else ("_update", "_delete")
    return [f"{TABLE}_refuse{action}" for action in actions]


def _run(connection: Any, statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
