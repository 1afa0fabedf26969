"""Indexes on tables that are written to meanwhile. For months of the ledger see `usage.indexes`."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.transaction import TransactionManagementError


class AddIndexConcurrently(migrations.AddIndex):
    """For migrations with `atomic = False`; on SQLite as usual. Begun again, it builds anew what was half built."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(connection.alias, model):
            return
        if connection.in_atomic_block:
            raise TransactionManagementError("nothing is built concurrently inside a transaction")
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.index.name}"')
        schema_editor.execute(self.index.create_sql(model, schema_editor, concurrently=True))
