"""Triggers by which the database itself refuses to change or delete an audit record, whoever asks.

SQLite drops a table's triggers when Django rebuilds the table, so a migration that alters `Record` installs them again
(a test sees to it).
"""

from __future__ import annotations

from typing import Any

MESSAGE = "audit records are never changed or deleted"

# REPLACE deletes the old row without firing delete triggers, hence the third.
_SQLITE = {
    "audit_record_no_update": "BEFORE UPDATE ON audit_record",
    "audit_record_no_delete": "BEFORE DELETE ON audit_record",
    "audit_record_no_replace": "BEFORE INSERT ON audit_record WHEN NEW.id IN (SELECT id FROM audit_record)",
}
_POSTGRESQL = {
    "audit_record_no_change": "BEFORE UPDATE OR DELETE ON audit_record FOR EACH ROW",
    "audit_record_no_truncate": "BEFORE TRUNCATE ON audit_record FOR EACH STATEMENT",
}
_POSTGRESQL_FUNCTION = f"""
CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'restrict_violation';
END $$
"""


def install(connection: Any) -> None:
    """Idempotent."""
    lift(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name, event in _SQLITE.items():
                cursor.execute(f"CREATE TRIGGER {name} {event} BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END")
        elif connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL_FUNCTION)
            for name, event in _POSTGRESQL.items():
                cursor.execute(f"CREATE TRIGGER {name} {event} EXECUTE FUNCTION audit_refuse()")
        else:
            raise NotImplementedError(f"Audit records cannot be guarded on {connection.vendor}.")


def lift(connection: Any) -> None:
    """For unapplying the migration, and for a test run that empties its own database."""
    with connection.cursor() as cursor:
        for name in _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL:
            table = "" if connection.vendor == "sqlite" else " ON audit_record"
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{table}")
