"""What a promise about the books is, and how one statement checks many of them at once.

Promises are conditions in SQL over a source: one row a subject, with a column `id`. All that hold of one source are
counted in one pass; only where some are broken is it read again, for the first offenders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

SHOWN = 10  # offenders of one promise


class Offender(msgspec.Struct, frozen=True):
    """Who breaks a promise, with the number that should be there and the one that is."""

    id: str
    expected: str
    found: str


class Finding(msgspec.Struct):
    """How one promise fares: subjects checked, those that break it, and the first of them."""

    name: str
    promise: str
    checked: int = 0
    violations: int = 0
    offenders: list[Offender] = []

    def count(self, checked: int, violations: int = 0) -> None:
        self.checked += checked
        self.violations += violations

    def accuse(self, subject: object, *, expected: object, found: object) -> None:
        self.violations += 1
        self.show(subject, expected, found)

    def show(self, subject: object, expected: object, found: object) -> None:
        if len(self.offenders) < SHOWN:
            self.offenders.append(Offender(str(subject), str(expected), str(found)))


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at: rows from `since` on, of one tenant or of all; `now` is the database's time."""

    now: datetime
    since: datetime | None = None
    tenant_id: int | None = None


class Check:
    """`wrong`: true of a subject that breaks the promise; `of`: which subjects it is about. Of an offender `expected`
    and `found` are shown. All of it SQL."""

    def __init__(self, name: str, promise: str, *, wrong: str, expected: str, found: str, of: str = "1 = 1") -> None:
        self.finding = Finding(name, promise)
        self.of = of
        self.wrong = wrong
        self.expected = expected
        self.found = found


Progress = Callable[[str], None]
Rows = list[tuple[Any, ...]]


def count(source: str, parameters: Sequence[Any], checks: Sequence[Check]) -> None:
    """One pass over the source, and one more for each promise that is broken and not exemplified yet."""
    columns = ", ".join(
        f"COUNT(*) FILTER (WHERE {check.of}), COUNT(*) FILTER (WHERE ({check.of}) AND ({check.wrong}))"
        for check in checks
    )
    # Constants and placeholders only, here and below.
    (row,) = rows(f"SELECT {columns} FROM ({source}) AS subject", parameters)  # noqa: S608
    for check, checked, violations in zip(checks, row[::2], row[1::2], strict=True):
        check.finding.count(checked, violations)
        if violations and (room := SHOWN - len(check.finding.offenders)) > 0:
            shown = f"SELECT id, {check.expected}, {check.found} FROM ({source}) AS subject"  # noqa: S608
            condition = f"WHERE ({check.of}) AND ({check.wrong}) ORDER BY 1 LIMIT {room}"
            for subject, expected, found in rows(f"{shown} {condition}", parameters):
                check.finding.show(_name(subject), expected, found)


def rows(query: str, parameters: Sequence[Any] = ()) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(query, list(parameters))
        found: Rows = cursor.fetchall()
    return found


def key(identifier: UUID) -> Any:
    """As a query parameter."""
    return identifier if connection.vendor == "postgresql" else identifier.hex


def only(checks: Iterable[Check]) -> list[Finding]:
    return [check.finding for check in checks]


def _name(subject: Any) -> str:
    """SQLite keeps an id as 32 digits."""
    if isinstance(subject, str) and len(subject) == 32:
        return str(UUID(subject))
    return str(subject)
