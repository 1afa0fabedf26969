"""How long answers were lately, for a process that has seen none yet. Synchronous."""

from __future__ import annotations

from typing import NamedTuple

from apps.usage.models import Entry, Kind, Source, State

# Enough to know the usual keys and models; read in a few milliseconds, however large the ledger is.
NEWEST = 5_000


class Length(NamedTuple):
    """Of one answer, as its provider counted it. `is_cut`: it ended at its cap."""

    model_id: int
    key_id: int
    tokens: int
    is_cut: bool


def newest(count: int = NEWEST) -> list[Length]:
    """Among the newest entries, those that tell; the oldest first."""
    rows = Entry.objects.order_by("-id").values_list(
        "kind", "state", "usage_source", "model_id", "key_id", "out_total", "stop_reason"
    )[:count]
    return [
        Length(model_id, key_id, tokens, stop_reason == "max_tokens")
        for kind, state, source, model_id, key_id, tokens, stop_reason in reversed(rows)
        if (kind, state, source) == (Kind.POST, State.SETTLED, Source.PROVIDER) and model_id and key_id
    ]
