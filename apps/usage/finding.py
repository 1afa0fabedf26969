"""What calls are looked for by, in the admin and in the portal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from apps.domain import ids
from apps.usage import selectors
from apps.usage.models import IS_ERROR, NOT_ERRORS, Status

CENTURY = 3.2e9  # seconds
OUTCOMES: dict[str, str] = {
    **{"errors": "Any error", "unconfirmed": "Cost not confirmed", "unpriced": "Without a price"},
    "cached": "From the cache",
    **{status.value: str(status.label) for status in Status},
}


def with_outcome(rows: QuerySet[Any], outcome: str | None) -> QuerySet[Any]:
    """Those of the entries with one of OUTCOMES; of any other word: all."""
    match outcome:
        case "errors":
            return rows.filter(IS_ERROR)
        case "unconfirmed":
            return rows.filter(selectors.is_open())
        case "unpriced":
            return rows.filter(selectors.is_unpriced())
        case "cached":
            return rows.filter(cached__isnull=False)
        case status if status in NOT_ERRORS:
            return rows.filter(status=status)
        case status if status in Status.values:
            return rows.filter(IS_ERROR, status=status)
    return rows


def since(begin: datetime) -> UUID:
    """The least id of entries from then on."""
    return ids.floor(int(begin.timestamp() * 1000))


def request_of(term: str) -> UUID | None:
    """The request that `req_<hex>`, a request's id or an entry's id names; None: it is no such id."""
    try:
        found = UUID(term.strip().removeprefix("req_"))
    except ValueError:
        return None
    age = datetime.now(UTC).timestamp() - ids.milliseconds(found) / 1000
    is_ours = found.version == 7 and abs(age) < CENTURY  # a trace id has 32 hexadecimal digits too
    return ids.request_of(found) if is_ours else None


def of_call(term: str) -> Q:
    """Entries whose trace it is, or of which the provider knows the request or its answer so."""
    return Q(trace_id=term) | Q(provider_request_id=term) | Q(message_id=term)


def trace_url(trace_id: str) -> str:
    """Where the trace can be looked at; "" if nobody has said so."""
    return str(settings.WEIR_TRACE_URL).replace("{trace_id}", quote(trace_id, safe="")) if trace_id else ""
