"""Who may pass now: in this process alone, or with the others through Redis. Neither ever counts money."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from django.conf import settings

from apps.domain.limits.decision import Decision
from apps.domain.limits.rate import RateTable
from apps.domain.snapshot import Limit

log = logging.getLogger(__name__)


class Limiter(Protocol):
    async def acquire(self, limits: Sequence[Limit], *, tokens: int) -> Decision:
        """Takes one request, `tokens` and a place from every limit, or nothing from any. Never fails."""

    def release(self, decision: Decision, *, tokens_used: int | None = None) -> None:
        """The call is over: frees its place and corrects its tokens (None: leave them as they were asked).

        Does not wait and never fails; the second time it does nothing.
        """

    async def close(self) -> None: ...


def make_limiter() -> Limiter:
    if not settings.REDIS_URL:
        return LocalLimiter()
    from apps.quotas.redis_counters import RedisLimiter

    return RedisLimiter(settings.REDIS_URL)


def microseconds() -> int:
    return time.monotonic_ns() // 1000


class LocalLimiter:
    """One process, in memory. A process that dies takes its counters with it."""

    def __init__(self, *, clock: Callable[[], int] = microseconds) -> None:
        self._table = RateTable()
        self._clock = clock

    async def acquire(self, limits: Sequence[Limit], *, tokens: int) -> Decision:
        return self._table.admit(limits, tokens=tokens, now=self._clock())

    def release(self, decision: Decision, *, tokens_used: int | None = None) -> None:
        if decision.held:
            decision.held = False
            self._table.release(decision, tokens_used=tokens_used, now=self._clock())

    async def close(self) -> None:
        return None
