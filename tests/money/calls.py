"""Intents and outcomes, for processes with and without Django."""

from __future__ import annotations

import time
import uuid
from typing import Any

from apps.domain import ids
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.usage.records import Intent, Outcome

CARD = PriceCard(
    version=7,
    effective_from=0,
    input=3_000_000_000,
    output=15_000_000_000,
    cache_read=300_000_000,
    cache_write_5m=3_750_000_000,
    cache_write_1h=6_000_000_000,
)


def intent(*, hold: Any = None, at: float | None = None, **fields: Any) -> Intent:
    at = time.time() if at is None else at
    request = ids.request_id(now_ms=int(at * 1000), random_bits=uuid.uuid4().int)
    defaults = {"tenant_id": 1, "project_id": 1, "model_name": "claude", "card": CARD, "input_tokens": 100}
    if hold is not None:
        defaults |= {"windows": hold.windows, "leases": hold.leases, "reserved": hold.amount}
    return Intent(request_id=request, attempt=1, started_at=at, **(defaults | fields))


def outcome(of: Intent | None = None, *, cost: int = 0, **fields: Any) -> Outcome:
    usage = TokenUsage(in_fresh=10, out_total=5)
    defaults = {"status": "ok", "usage": usage, "usage_source": "provider", "http_status": 200}
    return Outcome(intent=of or intent(), cost=cost, **(defaults | fields))


def hit(of: Intent | None = None, *, saved: int, **fields: Any) -> Outcome:
    """An answer that had been given before."""
    defaults = {"usage": TokenUsage(), "usage_source": "none", "http_status": None, "cached": "exact"}
    return outcome(of, **(defaults | {"saved": saved, "saved_tokens": 15} | fields))
