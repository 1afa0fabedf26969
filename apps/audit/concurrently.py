"""Indexes on tables that are written to meanwhile. For months of the ledger see `usage.indexes`."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.transaction import TransactionManagementError


class AddIndexConcurrently(migrations.AddIndex):
    """For migrations with `atomic = False`; on SQLite as usual. Begun again, it builds anew what was half built."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        _drop(schema_editor, self.index.name)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(self.index.create_sql(model, schema_editor, concurrently=True))
        else:
            schema_editor.add_index(model, self.index)


class RemoveIndexConcurrently(migrations.RemoveIndex):
    """As above: nobody waits for it, and what is gone already does no harm."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, self.name)


def _drop(schema_editor: Any, name: str) -> None:
    if schema_editor.connection.vendor != "postgresql":
        schema_editor.execute(f'DROP INDEX IF EXISTS "{name}"')
    elif schema_editor.connection.in_atomic_block:
        raise TransactionManagementError("nothing is done concurrently inside a transaction")
    else:
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
