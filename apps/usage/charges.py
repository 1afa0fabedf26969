"""What the ledger's rows charged to each budget window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

_EACH = {
    "postgresql": "CROSS JOIN LATERAL jsonb_array_elements_text(e.windows) AS w(value)",
    "sqlite": "CROSS JOIN json_each(e.windows) AS w",
}


def by_window(bounds: Sequence[Any], *, tenant_id: int | None = None) -> dict[int, int]:
    """Nano-USD by window id, of the rows between two ids given as query parameters."""
    one, tenant = ("AND e.tenant_id = %s", [tenant_id]) if tenant_id is not None else ("", [])
    # Constants and placeholders only.
    query = f"""SELECT CAST(w.value AS bigint), SUM(e.high_nano) FROM usage_entry e {_EACH[connection.vendor]}
        WHERE e.id >= %s AND e.id < %s {one} GROUP BY 1"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [*bounds, *tenant])
        return {int(window): int(amount) for window, amount in cursor.fetchall()}
