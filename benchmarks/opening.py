"""Opens a page through all of Django and says what it took: the server's time, its processor's, the database's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connection
from django.test import Client
from django.test.client import ClientHandler

LEDGER = "usage_entry"
_NUMBERED = re.compile(r"'[^']*'|\b\d+\b")


class Asked(NamedTuple):
    """One query. `sql` has its values in it."""

    sql: str
    seconds: float


class Opened(NamedTuple):
    """`seconds` on the clock, `busy` of this process's processor, `database_busy` of that of PostgreSQL's process for
    this connection; None: it is no process of this machine."""

    status: int
    text: str
    size: int
    seconds: float
    busy: float
    database_busy: float | None
    asked: list[Asked]

    @property
    def in_database(self) -> float:
        return sum(each.seconds for each in self.asked)


class Visitors:
    """A client for each who looks."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._handler = ClientHandler(enforce_csrf_checks=False)

    def add(self, name: str, user: Any) -> None:
        client = Client()
        client.handler = self._handler
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        self._clients[name] = client

    def open(self, who: str, url: str) -> Opened:
        asked: list[Asked] = []
        server = _Processor()
        with connection.execute_wrapper(_noting(asked)):
            busy, clock = time.process_time(), time.perf_counter()
            response = self._clients[who].get(url)
            parts = response.streaming_content if response.streaming else [response.content]
            size, text = 0, b""
            for part in parts:
                size += len(part)
                text = part if response.streaming else text + part
            seconds, busy = time.perf_counter() - clock, time.process_time() - busy
        return Opened(response.status_code, text.decode(errors="replace"), size, seconds, busy, server.used(), asked)


class _Processor:
    """What PostgreSQL's process for this connection takes from now on. Those that help it are not counted."""

    def __init__(self) -> None:
        connection.ensure_connection()
        is_asked = connection.vendor == "postgresql"
        self._path = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat") if is_asked else None
        self._before = self._read()

    def used(self) -> float | None:
        now = self._read()
        return None if now is None or self._before is None else now - self._before

    def _read(self) -> float | None:
        try:
            return int(self._path.read_text().split()[0]) / 1e9 if self._path is not None else None
        except OSError:
            return None


def _noting(asked: list[Asked]) -> Callable[..., Any]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        clock = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            seconds = time.perf_counter() - clock
            asked.append(Asked(connection.ops.last_executed_query(context["cursor"], sql, params), seconds))

    return note


def shapes(asked: list[Asked]) -> Iterator[tuple[str, str]]:
    """Reading queries of the ledger, one of each shape: the shape, and the query."""
    found: dict[str, str] = {}
    for each in asked:
        if each.sql.startswith(("SELECT", "WITH")) and re.search(rf"\b{LEDGER}\b", each.sql):
            found.setdefault(_NUMBERED.sub("?", each.sql), each.sql)
    yield from found.items()


def whole_reads(sql: str) -> list[str]:
    """Where PostgreSQL would read a month of the ledger from its beginning to its end for the query: by reading the
    table, or an index without a condition and without an end in sight. Empty months do not count, nor do indexes of few
    rows, as of those that are unconfirmed."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        (plan,) = cursor.fetchone()
        cursor.execute("SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indpred IS NOT NULL")
        partial = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT relname FROM pg_class WHERE relname LIKE %s AND reltuples > 0", [f"{LEDGER}%"])
        filled = {name for (name,) in cursor.fetchall()}
    return [told for told, month in _read(plan[0]["Plan"], is_limited=False, partial=partial) if month in filled]


def _read(node: dict[str, Any], *, is_limited: bool, partial: set[str]) -> Iterator[tuple[str, str]]:
    kind, month = node["Node Type"], node.get("Relation Name", "")
    is_limited = (is_limited or kind == "Limit") and kind not in ("Sort", "Aggregate", "Hash")
    if month.startswith(LEDGER):
        is_sought = "Index Cond" in node or "Recheck Cond" in node or node.get("Index Name") in partial
        if kind == "Seq Scan" or not (is_sought or is_limited):
            yield f"{kind} on {month}", month
    for inner in node.get("Plans", ()):
        yield from _read(inner, is_limited=is_limited, partial=partial)
