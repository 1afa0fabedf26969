"""What the values of a dimension are called, many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Model as Row

from apps.accounts.models import User
from apps.catalog.models import Model, PinnedEndpoint, Provider
from apps.keys.models import Key
from apps.tenants.models import Project, Tenant

_CALLED: dict[str, tuple[type[Row], str, Callable[[Any], str]]] = {
    "tenant": (Tenant, "No tenant", str),
    "project": (Project, "No project", lambda row: row.name),
    "user": (User, "Nobody", str),
    "key": (Key, "No key", lambda row: row.name),
    "model": (Model, "Unknown model", lambda row: row.name),
    "provider": (Provider, "No provider", lambda row: row.name),
    "pinned": (PinnedEndpoint, "Not pinned", lambda row: row.name),
}
UNTOLD = "Not told apart then"


def labels(dimension: str, values: Sequence[Any]) -> list[str]:
    """In the same order; those of the same name in full. At most one query."""
    if dimension == "endpoint":
        return [UNTOLD if value is None else value or "unknown" for value in values]
    model, none, call = _CALLED[dimension]
    wanted = [value for value in values if value is not None]
    rows = model._default_manager.in_bulk(wanted) if wanted else {}
    short = Counter(call(row) for row in rows.values())
    found = []
    for value in values:
        row = rows.get(value)
        if row is None:
            found.append(none if value is None else f"{dimension} {value}")
        else:
            found.append(call(row) if short[call(row)] == 1 else str(row))
    return found
