"""The one place that writes ledger entries and moves the budgets' counters with them. Synchronous.

An entry's id is made of its request, attempt and kind, so posting the same outcome again changes nothing: rows are
inserted where they are not there yet, and counters move by exactly the rows that were inserted, in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from django.db import DataError, IntegrityError, connection, transaction

from apps.domain import ids
from apps.quotas import windows
from apps.runtime.failpoints import failpoint
from apps.usage import partitions
from apps.usage.models import Kind
from apps.usage.records import Outcome

log = logging.getLogger(__name__)

# Large enough to be cheap, small enough not to keep others from the database for long.
BATCH = 400

_COLUMNS = (
    "id", "request_id", "attempt", "kind", "state", "tenant_id", "project_id", "user_id", "key_id", "model_id",
    "provider_id", "deployment_id", "credential", "model_name", "upstream_model", "client_protocol",
    "upstream_protocol", "endpoint", "stream", "in_fresh", "in_cache_read", "in_cache_write_5m",
    "in_cache_write_1h", "out_total", "out_reasoning", "cost_nano", "low_nano", "high_nano", "reserved_nano",
    "overrun_nano", "price_version", "usage_source", "status", "http_status", "error_code", "stop_reason",
    "latency_ms", "ttft_ms", "queue_ms", "trace_id", "provider_request_id", "client_address", "user_agent",
    "windows", "trail", "started_at",
)  # fmt: skip
_KINDS: dict[str, int] = {"settled": Kind.POST.value, "void": Kind.POST.value, "unconfirmed": Kind.UNCONFIRMED.value}
_NAMES = ", ".join(_COLUMNS)
# Constants and placeholders only.
_INSERT_POSTGRESQL = f"""INSERT INTO usage_entry ({_NAMES})
    SELECT {_NAMES} FROM json_populate_recordset(NULL::usage_entry, %s)
    ON CONFLICT (id) DO NOTHING RETURNING id"""  # noqa: S608
_INSERT_SQLITE = f"INSERT INTO usage_entry ({_NAMES}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608
_KNOWN_SQLITE = "SELECT id FROM usage_entry WHERE id IN (SELECT value FROM json_each(%s))"


def post(outcomes: Sequence[Outcome]) -> set[UUID]:
    """Records what is not recorded yet; returns the ids of the entries that are new. Safe to repeat.

    Raises DatabaseError; then nothing of a batch of `BATCH` was recorded.
    """
    new: set[UUID] = set()
    for start in range(0, len(outcomes), BATCH):
        batch: dict[UUID, Outcome] = {}
        for outcome in outcomes[start : start + BATCH]:
            batch.setdefault(entry_id(outcome), outcome)
        try:
            new |= _post(batch)
        except IntegrityError as error:
            if not partitions.is_missing(error):
                raise
            partitions.cover(list(batch))
            new |= _post(batch)
    return new


def post_each(outcomes: Sequence[Outcome]) -> tuple[set[UUID], list[Outcome]]:
    """As `post`, but an outcome that the ledger will never take does not hold up the others: those come back too."""
    try:
        return post(outcomes), []
    except (DataError, IntegrityError, OverflowError, ValueError) as error:
        if len(outcomes) == 1:
            log.error("the ledger refuses request %s: %s", outcomes[0].intent.request_id, error)
            return set(), [*outcomes]
        middle = len(outcomes) // 2
        new, refused = post_each(outcomes[:middle])
        more_new, more_refused = post_each(outcomes[middle:])
        return new | more_new, refused + more_refused


def entry_id(outcome: Outcome) -> UUID:
    intent = outcome.intent
    return ids.entry_id(intent.request_id, attempt=intent.attempt, kind=_KINDS[outcome.state])


@transaction.atomic
def _post(batch: dict[UUID, Outcome]) -> set[UUID]:
    new = _insert(batch)
    windows.charge(
        (window_id, lease_id, _high(batch[entry]))
        for entry in new
        for window_id, lease_id in zip(batch[entry].intent.windows, batch[entry].intent.leases, strict=True)
    )
    failpoint("forward.before_commit")
    return new


def _insert(batch: dict[UUID, Outcome]) -> set[UUID]:
    """Returns the ids that were not there. One parameter a row and column would cost ten times as much."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(_COLUMNS, _row(entry, told), strict=True)) for entry, told in batch.items()]
            cursor.execute(_INSERT_POSTGRESQL, [msgspec.json.encode(rows).decode()])
            return {entry for (entry,) in cursor.fetchall()}
        # The transaction holds the write lock from its beginning, so nothing comes between the two.
        cursor.execute(_KNOWN_SQLITE, [msgspec.json.encode([entry.hex for entry in batch]).decode()])
        known = {UUID(found) for (found,) in cursor.fetchall()}
        new = [_plain(_row(entry, told)) for entry, told in batch.items() if entry not in known]
        cursor.executemany(_INSERT_SQLITE, new)
        return batch.keys() - known


def _row(entry: UUID, outcome: Outcome) -> tuple[Any, ...]:
    intent, usage, high = outcome.intent, outcome.usage, _high(outcome)
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
        _text(intent.client_address, 45),
        _text(intent.user_agent, 200),
        intent.windows,
        outcome.trail,
        datetime.fromtimestamp(intent.started_at, UTC),
    )


def _plain(row: tuple[Any, ...]) -> list[Any]:
    """As Django keeps it in SQLite: the two ids at its beginning, two lists and a time at its end."""
    values = list(row)
    values[0], values[1] = values[0].hex, values[1].hex
    values[-3], values[-2] = _list(values[-3]), _list(values[-2])
    values[-1] = str(values[-1].replace(tzinfo=None))
    return values


@lru_cache(maxsize=1024)
def _list(items: tuple[Any, ...]) -> str:
    return msgspec.json.encode(items).decode()


def _high(outcome: Outcome) -> int:
    return outcome.cost if outcome.high is None else outcome.high


def _text(value: str, width: int) -> str:
    """As the column takes it: no longer, and without the NUL that PostgreSQL refuses."""
    if len(value) > width:
        value = value[:width]
    return value.replace("\0", "") if "\0" in value else value
