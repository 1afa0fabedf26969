"""What a migration does before it changes a column that the second wall stands on (`runtime.walls`)."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation, OperationCategory

# Also of other tables: whose rows hang on this one's. Shut to who owns no tables is what has the wall and no policy.
_DOWN = """DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT DISTINCT polname, polrelid::regclass AS place FROM pg_policy
        JOIN pg_depend ON classid = 'pg_policy'::regclass AND objid = pg_policy.oid
        WHERE refclassid = 'pg_class'::regclass AND refobjid = to_regclass('{table}') AND starts_with(polname, 'weir_')
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', one.polname, one.place);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', one.place);
    END LOOP; END $$"""


class Lower(Operation):
    """Takes down every policy that names these tables; what follows `migrate` raises them anew. PostgreSQL would not
    change the type of a column that a policy names, and whoever drops one drops the policy with it, unseen. Members are
    served behind the first wall meanwhile. A migration that is to be taken back needs it at its end as well."""

    reversible = True
    category = OperationCategory.SQL

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def state_forwards(self, app_label: str, state: Any) -> None:
        """To models a wall is nothing."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            for table in self.tables:
                schema_editor.execute(_DOWN.format(table=table), params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Take down what the second wall stands on: {', '.join(self.tables)}"
