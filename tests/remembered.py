"""Rows that many tests begin with: services make them once, later tests get the very same rows written at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.models import Record
from tests import flush

Made = TypeVar("Made")
Rows = list[tuple[str, list[tuple[object, ...]]]]  # a statement and what it is executed with
FRESH = timedelta(hours=1)  # beyond, what holds from the day of its making on is made anew


class Remembered(Generic[Made]):
    """What `make` returns, and the rows that it commits to an empty database. Rows, ids and secrets repeat from test to
    test; the object is a copy for each."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: Made | None = None
        self._rows: Rows = []
        self._at: datetime | None = None
        self._secrets: tuple[str, ...] = ()

    def again(self) -> Made:
        if Record.objects.exists():  # and services would number on
            return self._make()
        if not self._is_true():
            if flush.filled():
                return self._make()
            self._made, self._at, self._secrets = self._make(), timezone.now(), _secrets()
            self._rows = [_statement(table) for table in flush.filled()]
        else:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement, rows in self._rows:
                    cursor.executemany(statement, rows)
        assert self._made is not None
        return copy.deepcopy(self._made)

    def _is_true(self) -> bool:
        """Also by a clock that a test has set, and under its secrets."""
        return self._at is not None and self._at <= timezone.now() < self._at + FRESH and self._secrets == _secrets()


def _secrets() -> tuple[str, ...]:
    return settings.WEIR_KEYRING, settings.WEIR_KEY_PEPPER


def _statement(table: str) -> tuple[str, list[tuple[object, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        columns = [connection.ops.quote_name(column[0]) for column in cursor.description]
        rows = cursor.fetchall()
    values = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows
