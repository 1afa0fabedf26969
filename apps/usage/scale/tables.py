"""The quickest way to fill a table: COPY on PostgreSQL, prepared inserts on SQLite. Only of an empty installation."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Model


class Octets(bytes):
    """Bytes that COPY reads when they are written as text."""

    def __str__(self) -> str:
        return r"\\x" + self.hex()


Value = str | int | Octets | None
_TOGETHER = 5_000


def fill(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """`columns`: those that have no default of the database's. No text of the rows may hold a tab or a line's
    end, or be "None"."""
    table = model._meta.db_table
    if connection.vendor == "postgresql":
        _copy(table, columns, rows)
    else:
        _insert(table, columns, rows)
    _count_on(model)


def moment(at: datetime) -> str:
    """As both databases read it."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def flag(value: bool) -> str:
    return "1" if value else "0"


def analyze() -> None:
    """Let the database look at what it has, so that it plans well."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@contextlib.contextmanager
def without_indexes(model: type[Model]) -> Iterator[None]:
    """On PostgreSQL they are made when all rows are there, which takes a fraction of the time."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.schema_editor() as editor:
        for index in model._meta.indexes:
            editor.remove_index(model, index)
    yield
    with connection.schema_editor() as editor:
        for index in model._meta.indexes:
            editor.add_index(model, index)


def _copy(table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    names, line = ", ".join(f'"{name}"' for name in columns), "\t".join(["%s"] * len(columns)) + "\n"
    statement = f"COPY {table} ({names}) FROM STDIN (NULL 'None')"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in _parts(rows):
            copy.write("".join([line % row for row in part]))


def _insert(table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    names, places = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  # constants only
    with connection.cursor() as cursor:
        for part in _parts(rows):
            cursor.executemany(statement, part)


def _parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    running = iter(rows)
    while part := list(itertools.islice(running, _TOGETHER)):
        yield part


def _count_on(model: type[Model]) -> None:
    """The next row's number comes after those that were given."""
    key = model._meta.pk
    if connection.vendor != "postgresql" or key is None or key.get_internal_type() == "UUIDField":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence(%s, %s), (SELECT MAX({key.column}) FROM {model._meta.db_table}))",  # noqa: S608
            [model._meta.db_table, key.column],
        )
