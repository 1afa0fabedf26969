"""True usage to price, limits and journal: exactly once, on every way out.

Everything is booked before anything is awaited, so that nothing can cut it short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.gateway import metrics
from apps.gateway.standing import standing

if TYPE_CHECKING:
    from apps.domain.errors import GatewayError
    from apps.gateway.context import RequestContext
    from apps.quotas.counters import Limiter


async def settle(ctx: RequestContext, failure: GatewayError | None, limiter: Limiter) -> None:
    """Closes the last attempt (earlier ones were closed when they failed) and gives back what was held."""
    used = 0
    try:
        for attempt in ctx.attempts:
            attempt.settle(failure)
            if attempt.turn is not None:
                standing.ended(attempt, failure)
            used += attempt.tokens
        metrics.observe(ctx, failure or (ctx.attempts[-1].failure if ctx.attempts else None))
    finally:
        try:
            if ctx.decision is not None and ctx.decision.allowed:
                limiter.release(ctx.decision, tokens_used=used)
        finally:
            for attempt in ctx.attempts:
                await attempt.leave()
