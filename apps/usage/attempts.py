"""All that was tried for one call, in order, and what the router did: how admin and portal read it.

What the router did stands in a row's trail, a step a line; the first word of a step says what kind it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db.models import QuerySet

from apps.domain import ids
from apps.usage.models import Entry, Kind

MOST = 50
TRIED = (Kind.POST, Kind.UNCONFIRMED)
NOTHING = "—"
TONES = {
    "ok": "good",
    "client_gone": "info",
    "client_error": "warn",
    "refused": "warn",
    "upstream_error": "bad",
    "upstream_broken": "bad",
    "timeout": "bad",
    "gateway_error": "bad",
    "interrupted": "bad",
}
CHOSE, CREDENTIAL = "chose ", "credential "
# By how a step begins. What a translation did, and whatever nobody has named here, is told without a colour.
STEPS = {
    CHOSE: "good",
    "skipped ": "warn",
    CREDENTIAL: "bad",
    "breaker ": "bad",
    "waited ": "info",
    "hedged ": "info",
    "lost to ": "info",
    "not hedged": "warn",
    "found": "warn",
    "nobody else ": "bad",
    "cache hit": "info",
}
_FALLBACK = re.compile(r"\bfallback ([^\s,]+)")
_SUMS: tuple[str, ...] = (
    "in_fresh",
    "in_cache_read",
    "in_cache_write_5m",
    "in_cache_write_1h",
    "out_total",
    "out_reasoning",
)
_SUMS += ("cost_nano", "low_nano", "high_nano")


def of_request(entry: Entry) -> QuerySet[Entry]:
    """The entries of its call: by attempt, what was said first before what was said of it later."""
    rows = Entry.objects.filter(id__range=ids.entries_of(entry.request_id), request_id=entry.request_id)
    return rows.order_by("id")


def said_later(entries: Collection[Entry]) -> dict[UUID, list[Entry]]:
    """By the id of an attempt's first entry, the corrections and repricings of it. One query, and another where one was
    priced anew more than once."""
    firsts = {(entry.request_id, entry.attempt): entry.pk for entry in entries}
    found: dict[UUID, list[Entry]] = defaultdict(list)
    slots: tuple[Iterable[int], ...] = ((ids.Slot.RESOLUTION, ids.Slot.REPRICE), range(4, ids.LAST_SLOT + 1))
    asked = list(firsts.values())
    for some in slots:
        wanted = [ids.in_slot(first, slot=slot) for first in asked for slot in some]
        rows = list(Entry.objects.filter(pk__in=wanted).order_by("id")) if wanted else []
        for row in rows:
            found[firsts[row.request_id, row.attempt]].append(row)
        asked = [firsts[row.request_id, row.attempt] for row in rows if row.kind == Kind.REPRICE]
    return found


def in_all(parts: Sequence[Entry]) -> Entry:
    """What an attempt comes to by all that was said of it. Not a row of the ledger."""
    first, last = parts[0], parts[-1]
    told = {"status", "state", "kind", "attempt", "cached", "saved_nano"}
    return Entry(
        price_version=last.price_version,
        **{name: getattr(first, name) for name in told},
        **{name: sum(getattr(row, name) for row in parts) for name in _SUMS},
    )


def tone(entry: Entry) -> str:
    return TONES.get(entry.status, "")


def tone_of(step: str) -> str:
    return next((colour for begins, colour in STEPS.items() if step.startswith(begins)), "")


def why(row: Entry, *, before: Entry | None) -> str:
    """Why it was asked: in the router's words where it has left some, else by what came before it."""
    chosen = next((str(step) for step in row.trail if str(step).startswith(CHOSE)), "")
    if chosen:
        return chosen.partition(": ")[2] or chosen
    if before is None:
        return NOTHING
    told = f"HTTP {before.http_status}" if before.http_status else before.error_code or before.get_status_display()
    return f"after {told}"


def for_tenant(step: str, *, credentials: Collection[str], models: Collection[str]) -> str:
    """A step without what is not the tenant's to know: the names of `credentials` and `models` other than these, which
    are its own."""
    if step.startswith(CREDENTIAL):
        rest = step.removeprefix(CREDENTIAL)
        if not any(rest.startswith(f"{alias}: ") for alias in credentials):
            step = f"a credential: {rest.rpartition(': ')[2]}"
    return _FALLBACK.sub(lambda found: found[0] if found[1] in models else "a fallback", step)
