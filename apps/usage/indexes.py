"""Indexes on a ledger that is being written to.

On PostgreSQL `AddIndex` would keep every writer out of all months for as long as it builds, and its concurrent kind
does not exist for a table of partitions. So each month's index is built concurrently, and the ledger's is then made of
those, which takes a moment.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, transaction
from django.db.models import Index
from django.db.transaction import TransactionManagementError

from apps.usage import partitions


class AddLedgerIndex(migrations.AddIndex):
    """For migrations with `atomic = False`. Begun again, it goes on where it was ended."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model) or self.index.name in _indexes(connection):
            return
        if connection.vendor != "postgresql":
            schema_editor.add_index(model, self.index)
        elif connection.in_atomic_block:
            raise TransactionManagementError("nothing is built concurrently inside a transaction")
        else:
            _add(schema_editor, model, self.index)


class RemoveLedgerIndex(migrations.RemoveIndex):
    """Of all months at once, which cannot be done concurrently, and whoever writes a row waits behind it: it gives up
    soon where it has to wait itself (OperationalError), and can be begun again."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, from_state.apps.get_model(app_label, self.model_name)):
            return
        with transaction.atomic(connection.alias):
            if connection.vendor == "postgresql":
                schema_editor.execute("SET LOCAL lock_timeout = '3s'")
            schema_editor.execute(f'DROP INDEX IF EXISTS "{self.name}"')


def _add(schema_editor: Any, model: Any, index: Index) -> None:
    """A month that comes in between is empty yet and gets its index with the ledger's."""
    for month in partitions.names():
        own = index.clone()
        own.name = f"{month}_{index.name.removeprefix('entry_')}"
        if _is_half_built(schema_editor.connection, own.name):
            schema_editor.execute(f'DROP INDEX CONCURRENTLY "{own.name}"')
        statement = own.create_sql(model, schema_editor, concurrently=True)
        statement.rename_table_references(partitions.TABLE, month)
        schema_editor.execute(_if_not_there(statement))
    schema_editor.add_index(model, index)


def _if_not_there(statement: Any) -> str:
    before, name, after = str(statement).partition(str(statement.parts["name"]))
    return f"{before}IF NOT EXISTS {name}{after}"


def _is_half_built(connection: Any, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        return bool((cursor.fetchone() or [False])[0])


def _indexes(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, partitions.TABLE))
