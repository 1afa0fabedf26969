"""Rows of the ledger's table: what an outcome says in its columns, and the quickest way to insert many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from apps.domain import ids
from apps.usage.models import Cached, Entry, Kind
from apps.usage.records import WORD_LENGTH, Outcome

Row = tuple[Any, ...]

COLUMNS = (
    "id", "request_id", "attempt", "kind", "state", "tenant_id", "project_id", "user_id", "key_id", "model_id",
    "provider_id", "deployment_id", "credential", "model_name", "upstream_model", "client_protocol",
    "upstream_protocol", "endpoint", "pinned_id", "stream", "in_fresh", "in_cache_read", "in_cache_write_5m",
    "in_cache_write_1h", "out_total", "out_reasoning", "cost_nano", "low_nano", "high_nano", "reserved_nano",
    "overrun_nano", "price_version", "usage_source", "status", "http_status", "error_code", "stop_reason",
    "latency_ms", "ttft_ms", "queue_ms", "trace_id", "provider_request_id", "message_id", "client_address",
    "user_agent", "session", "agent", "parent_agent", "cached", "saved_nano", "saved_tokens", "windows", "trail",
    "started_at",
)  # fmt: skip
# In a correction and in a repricing these are differences.
SUMMED = (
    "in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total", "out_reasoning", "cost_nano",
    "low_nano", "high_nano", "reserved_nano", "overrun_nano",
)  # fmt: skip
_KINDS: dict[str, int] = {"settled": Kind.POST.value, "void": Kind.POST.value, "unconfirmed": Kind.UNCONFIRMED.value}
_CACHED: dict[str | None, int] = {"exact": Cached.EXACT.value, "semantic": Cached.SEMANTIC.value}
_UNCACHED = (None, None, None)
_NAMES = ", ".join(COLUMNS)
# Constants and placeholders only.
_INSERT_POSTGRESQL = f"""INSERT INTO usage_entry ({_NAMES})
    SELECT {_NAMES} FROM json_populate_recordset(NULL::usage_entry, %s)
    ON CONFLICT (id) DO NOTHING RETURNING id"""  # noqa: S608
_INSERT_SQLITE = f"INSERT INTO usage_entry ({_NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608
_KNOWN_SQLITE = "SELECT id FROM usage_entry WHERE id IN (SELECT value FROM json_each(%s))"


def insert(rows: Sequence[Row]) -> set[UUID]:
    """Returns the ids that were not there. One parameter a row and column would cost ten times as much.

    Whoever is inserting the same id is waited for, so two that do are to come in the same order.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            fields = [named(row) for row in rows]
            cursor.execute(_INSERT_POSTGRESQL, [msgspec.json.encode(fields).decode()])
            return {entry for (entry,) in cursor.fetchall()}
        # The transaction holds the write lock from its beginning, so nothing comes between the two.
        cursor.execute(_KNOWN_SQLITE, [msgspec.json.encode([row[0].hex for row in rows]).decode()])
        known = {UUID(found) for (found,) in cursor.fetchall()}
        new = [row for row in rows if row[0] not in known]
        cursor.executemany(_INSERT_SQLITE, [_plain(row) for row in new])
        return {row[0] for row in new}


def of_outcome(entry: UUID, outcome: Outcome) -> Row:
    intent, usage, high = outcome.intent, outcome.usage, most(outcome)
    return (
        entry,
        intent.request_id,
        intent.attempt,
        _KINDS[outcome.state],
        outcome.state,
        intent.tenant_id,
        intent.project_id,
        intent.user_id,
        intent.key_id,
        intent.model_id,
        intent.provider_id,
        intent.deployment_id,
        _text(intent.credential, 60),
        _text(intent.model_name, 200),
        _text(intent.upstream_model, 200),
        intent.client_protocol,
        intent.upstream_protocol,
        _text(intent.endpoint, 64),
        intent.pinned_id,
        intent.stream,
        *msgspec.structs.astuple(usage),
        outcome.cost,
        outcome.cost if outcome.low is None else outcome.low,
        high,
        intent.reserved,
        max(0, high - intent.reserved),
        intent.card.version if intent.card else None,
        outcome.usage_source,
        outcome.status,
        outcome.http_status,
        _text(outcome.error_code, 64),
        _text(outcome.stop_reason, 32),
        outcome.latency_ms,
        outcome.ttft_ms,
        intent.queue_ms,
        _text(intent.trace_id, 64),
        _text(outcome.provider_request_id, 100),
        _text(outcome.message_id, 100) or None,
        _text(intent.client_address, 45),
        _text(intent.user_agent, 200),
        *map(_told, (intent.session, intent.agent, intent.parent_agent)),
        *(_UNCACHED if outcome.cached is None else (_CACHED[outcome.cached], outcome.saved, outcome.saved_tokens)),
        intent.windows,
        outcome.trail,
        datetime.fromtimestamp(intent.started_at, UTC),
    )


def named(row: Row) -> dict[str, Any]:
    return dict(zip(COLUMNS, row, strict=True))


def of_entry(entry: Entry) -> dict[str, Any]:
    """A stored row by the names of its columns, as `of_fields` takes it."""
    found = {name: getattr(entry, name) for name in COLUMNS}
    return found | {"windows": tuple(entry.windows), "trail": tuple(entry.trail)}


def of_fields(fields: Mapping[str, Any]) -> Row:
    return tuple(fields[name] for name in COLUMNS)


def correction(truth: Mapping[str, Any], *, of: Mapping[str, Any]) -> dict[str, Any]:
    """The row that makes an unconfirmed true: what differs in numbers, and else what the truth says."""
    differences = {name: truth[name] - of[name] for name in SUMMED}
    resolution = ids.in_slot(truth["id"], slot=ids.Slot.RESOLUTION)
    return {**truth, **differences, "id": resolution, "kind": Kind.CORRECTION.value}


def _plain(row: Row) -> Row:
    """As Django keeps it in SQLite: ids at its beginning, at its end two lists and a time, which is UTC."""
    time = row[-1].isoformat(" ").removesuffix("+00:00")
    return (row[0].hex, row[1].hex, *row[2:-3], _list(row[-3]), _list(row[-2]), time)


@lru_cache(maxsize=1024)
def _list(items: tuple[Any, ...]) -> str:
    return msgspec.json.encode(items).decode()


def most(outcome: Outcome) -> int:
    """What budgets are charged."""
    return outcome.cost if outcome.high is None else outcome.high


def _told(value: str) -> str | None:
    """What most callers say nothing of."""
    return _text(value, WORD_LENGTH) if value else None


def _text(value: str, width: int) -> str:
    """As the column takes it: no longer, and without the NUL that PostgreSQL refuses."""
    if len(value) > width:
        value = value[:width]
    return value.replace("\0", "") if "\0" in value else value
