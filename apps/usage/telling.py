"""Ledger entries as events: named in the transaction that writes them, rendered when they are sent. Entries never
change, so what an event says of one does not either; names are those of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.domain import ids, money
from apps.events import doors, outbox
from apps.usage.models import Entry, Kind, State
from apps.usage.records import Outcome

SETTLED, UNCONFIRMED, CORRECTED = "usage.settled", "usage.unconfirmed", "usage.corrected"
_WHOSE = {
    "tenant": ("slug", "name"),
    "project": ("slug", "name"),
    "user": ("username",),
    "key": ("public_id", "name"),
    "provider": ("name",),
    "deployment": ("upstream_model",),
}
_COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total")


def tell_first(outcomes: Iterable[tuple[UUID, Outcome]]) -> None:
    """The first entries of attempts, by their ids: what they cost, or that nobody knows."""
    outbox.refer(
        (entry, UNCONFIRMED if outcome.state == State.UNCONFIRMED else SETTLED, outcome.intent.tenant_id)
        for entry, outcome in outcomes
    )


def tell_later(changes: Iterable[Mapping[str, Any]]) -> None:
    """Corrections, repricings and adjustments, by column."""
    outbox.refer((row["id"], CORRECTED, row["tenant_id"]) for row in changes)


def offer() -> None:
    doors.render("usage", render)


def render(entries: Sequence[UUID]) -> dict[UUID, doors.Rendered]:
    """One query, and one for each name."""
    found = Entry.objects.filter(pk__in=entries).prefetch_related(*_WHOSE)
    return {entry.pk: doors.Rendered(_subject(entry), _data(entry)) for entry in found}


def _subject(entry: Entry) -> str:
    """Whose usage it is: a person's, else a key's, else a project's."""
    for name, column in (("user", "username"), ("key", "public_id"), ("project", "slug")):
        if (row := _row(entry, name)) is not None:
            return f"{name}/{getattr(row, column)}"
    return f"project/{entry.project_id}"


def _data(entry: Entry) -> dict[str, Any]:
    return _usage(entry) | _books(entry) | _whose(entry)


def _usage(entry: Entry) -> dict[str, Any]:
    """What callers count by, in the names that Anthropic's Messages made common."""
    return {
        "model": entry.upstream_model or entry.model_name,
        "message_id": entry.message_id or None,
        "input_tokens": entry.in_fresh,
        "output_tokens": entry.out_total,
        "cache_creation_tokens": entry.in_cache_write_5m + entry.in_cache_write_1h,
        "cache_read_tokens": entry.in_cache_read,
        "total_tokens": sum(getattr(entry, name) for name in _COUNTERS),
        "latency_ms": entry.latency_ms,
        "stream": entry.stream,
        "stop_reason": entry.stop_reason or None,
        "status": entry.status,
        "key_alias": entry.credential or None,
        "trace_id": entry.trace_id or None,
        "provider_request_id": entry.provider_request_id or None,
    }


def _books(entry: Entry) -> dict[str, Any]:
    """What the ledger says. Amounts of a difference are differences, and may be below zero."""
    first = ids.in_slot(entry.pk, slot=ids.Slot.FIRST)
    return {
        "entry_id": str(entry.pk),
        "request_id": str(entry.request_id),
        "attempt": entry.attempt,
        "entry": Kind(entry.kind).name.lower(),
        "state": entry.state,
        "is_difference": entry.is_difference,
        "corrects": str(first) if first != entry.pk else None,
        "reason": entry.error_code or None if entry.kind == Kind.REPRICE else None,
        "tokens": {name: getattr(entry, name) for name in (*_COUNTERS, "out_reasoning")},
        **{f"{name}_nano": getattr(entry, f"{name}_nano") for name in ("cost", "low", "high", "reserved")},
        **{f"{name}_usd": _usd(getattr(entry, f"{name}_nano")) for name in ("cost", "low", "high")},
        "price_version": entry.price_version,
        "usage_source": entry.usage_source,
        "http_status": entry.http_status,
        "error_code": entry.error_code or None,
        "ttft_ms": entry.ttft_ms,
        "queue_ms": entry.queue_ms,
        "cached": entry.get_cached_display().lower() if entry.cached is not None else None,
        "saved_nano": entry.saved_nano,
        "started_at": _moment(entry.started_at),
        "settled_at": _moment(entry.settled_at),
    }


def _whose(entry: Entry) -> dict[str, Any]:
    """Numbers stay where a row is gone; its names do not."""
    return {
        **{name: _named(entry, name, *columns) for name, columns in _WHOSE.items()},
        "requested_model": entry.model_name,
        "endpoint": entry.endpoint,
        "client_protocol": entry.client_protocol,
        "upstream_protocol": entry.upstream_protocol,
        "session": entry.session,
        "agent": entry.agent,
        "parent_agent": entry.parent_agent,
    }


def _named(entry: Entry, name: str, *columns: str) -> dict[str, Any] | None:
    if (pk := getattr(entry, f"{name}_id")) is None:
        return None
    row = _row(entry, name)
    return {"id": pk, **({column: getattr(row, column) for column in columns} if row is not None else {})}


def _row(entry: Entry, name: str) -> Any:
    """None, too, where the number names nothing any more."""
    return entry._state.fields_cache.get(name)


def _usd(amount: int) -> str:
    """All of it, without an exponent: `0.000585`."""
    return f"{Decimal(amount) / money.NANO:f}"


def _moment(at: Any) -> str:
    return str(at.isoformat(timespec="microseconds").replace("+00:00", "Z"))
