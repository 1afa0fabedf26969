"""What one call came to, for whoever has just made it."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from apps.domain import ids
from apps.usage.models import Entry, Kind


class Receipt(NamedTuple):
    """Of all attempts together; status, model, times and `entry` are the last one's. Money in nano-USD."""

    entry: UUID
    status: str
    is_ok: bool
    model: str
    attempts: int
    tokens_in: int
    tokens_out: int
    cost: int
    is_unpriced: bool
    is_settled: bool
    is_cached: bool
    first_token_ms: int | None
    latency_ms: int


def receipt(request: UUID, **subject: int) -> Receipt | None:
    """None: the ledger knows nothing of it (yet). `subject` as in `selectors.spent`. One query, along the primary
    key."""
    found = Entry.objects.filter(id__range=ids.entries_of(request), request_id=request, **subject)
    rows = list(found.order_by("id"))
    tried = [row for row in rows if row.kind in (Kind.POST, Kind.UNCONFIRMED)]
    if not tried:
        return None
    last = tried[-1]
    return Receipt(
        entry=last.pk,
        status=last.get_status_display(),
        is_ok=last.status == "ok",
        model=last.model_name,
        attempts=len(tried),
        tokens_in=sum(row.in_fresh + row.in_cache_read + row.in_cache_write_5m + row.in_cache_write_1h for row in rows),
        tokens_out=sum(row.out_total for row in rows),
        cost=sum(row.cost_nano for row in rows),
        is_unpriced=any(row.is_unpriced for row in tried),
        is_settled=last.kind == Kind.POST or len(rows) > len(tried),
        is_cached=last.cached is not None,
        first_token_ms=last.ttft_ms,
        latency_ms=last.latency_ms,
    )
