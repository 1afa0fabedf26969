"""A row of each of two tenants in every table that stands behind the second wall, whatever its columns are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connection, models

from apps.domain import ids
from apps.tenants import row_security

_ANY: dict[str, Any] = {
    "BigIntegerField": 1,
    "BooleanField": True,
    "DateField": "2026-01-01",
    "DateTimeField": "2026-01-01T00:00:00Z",
    "FloatField": 1.0,
    "GenericIPAddressField": "192.0.2.1",
    "IntegerField": 1,
    "JSONField": "{}",
    "PositiveBigIntegerField": 1,
    "PositiveIntegerField": 1,
    "PositiveSmallIntegerField": 1,
    "SmallIntegerField": 1,
}


_TEXTS = ("CharField", "EmailField", "SlugField", "TextField")


class Side(NamedTuple):
    """`rows`: columns and values by the model's label."""

    tenant: int
    person: int
    rows: dict[str, dict[str, Any]]


def walled() -> list[str]:
    """Labels, each after those that it hangs on."""
    known, order = row_security.policies(), list[str]()

    def take(label: str) -> None:
        if label not in order and label in known:
            for field in apps.get_model(label)._meta.concrete_fields:
                if field.is_relation and field.related_model._meta.label != label:
                    take(field.related_model._meta.label)
            order.append(label)

    for label in known:
        take(label)
    return order


def fill(tenant: int, person: int) -> Side:
    """In a transaction that is rolled back: without foreign keys, triggers and checks, as a superuser."""
    side = Side(tenant, person, {})
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for label in walled():
            model = apps.get_model(label)
            for name in _checks(cursor, model._meta.db_table):
                cursor.execute(f"ALTER TABLE {model._meta.db_table} DROP CONSTRAINT {name}")
            side.rows[label] = dict(_values(model, side))
            insert(cursor, model._meta.db_table, side.rows[label])
    return side


def insert(cursor: Any, table: str, row: dict[str, Any]) -> None:
    columns, places = ", ".join(f'"{name}"' for name in row), ", ".join(["%s"] * len(row))
    cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(row.values()))


def another(model: type[models.Model], row: dict[str, Any], number: int = 3) -> dict[str, Any]:
    """As that row, under a number of its own, and with texts of its own."""
    fields = {field.column: field for field in model._meta.concrete_fields}
    changed = {}
    for name, value in row.items():
        changed[name] = _own(fields[name], number) if _is_own(fields[name]) else value
    return changed | {model._meta.pk.column: _key(model, 1_000_000 + number)}


def _checks(cursor: Any, table: str) -> list[str]:
    cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [table])
    return [name for (name,) in cursor.fetchall()]


def _values(model: type[models.Model], side: Side) -> Iterator[tuple[str, Any]]:
    for field in model._meta.concrete_fields:
        if field.primary_key and not field.is_relation:
            yield field.column, side.tenant if model._meta.label == "tenants.Tenant" else _primary(model, side)
        elif field.column in ("tenant_id", "owner"):
            yield field.column, side.tenant
        elif field.is_relation:
            label = field.related_model._meta.label
            if label == "accounts.User":
                yield field.column, side.person
            elif label in side.rows:
                yield field.column, side.rows[label][field.related_model._meta.pk.column]
            elif not field.null:
                yield field.column, side.tenant
        elif not field.null:
            yield field.column, _own(field, side.tenant) if _is_own(field) else _ANY[field.get_internal_type()]


def _primary(model: type[models.Model], side: Side) -> Any:
    return side.tenant if model._meta.label == "usage.Calendar" else _key(model, side.tenant)


def _key(model: type[models.Model], number: int) -> Any:
    if model._meta.pk.get_internal_type() == "UUIDField":
        floor = ids.floor(int(time.time() * 1000))
        return str(type(floor)(int=floor.int + number))
    return number


def _is_own(field: Any) -> bool:
    """Whether it may have to be unique."""
    return field.get_internal_type() in (*_TEXTS, "BinaryField", "UUIDField")


def _own(field: Any, number: int) -> Any:
    if field.get_internal_type() == "BinaryField":
        return str(number).encode()
    if field.get_internal_type() == "UUIDField":
        return f"00000000-0000-0000-0000-{number:012d}"
    return str(number)[: field.max_length]
