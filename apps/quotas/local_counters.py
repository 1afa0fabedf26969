"""Rates of this process alone, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from apps.domain.limits.decision import Decision, Stand
from apps.domain.limits.rate import RateTable
from apps.domain.snapshot import Limit, Outage


def microseconds() -> int:
    return time.monotonic_ns() // 1000


class LocalLimiter:
    """One process, in memory. A process that dies takes its counters with it."""

    def __init__(self, *, clock: Callable[[], int] = microseconds) -> None:
        self._table = RateTable()
        self._clock = clock

    async def acquire(self, limits: Sequence[Limit], *, tokens: int, on_outage: Outage = "lease") -> Decision:
        """There is nothing that could be away."""
        return self._table.admit(limits, tokens=tokens, now=self._clock())

    async def stands(self, limits: Sequence[Limit]) -> list[Stand] | None:
        return self._table.stands(limits, now=self._clock())

    def release(self, decision: Decision, *, tokens_used: int | None = None) -> None:
        if decision.held:
            decision.held = False
            self._table.release(decision, tokens_used=tokens_used, now=self._clock())

    def mirror(self, limits: Sequence[Limit], stands: Sequence[int], *, now: int, admitted: bool) -> None:
        """Takes over what other counters said at their `now`: of each limit, where its two meters stand."""
        self._table.mirror(limits, stands, then=now, now=self._clock(), admitted=admitted)

    def leave(self, limits: Sequence[Limit]) -> None:
        """A call that was admitted there has ended."""
        self._table.leave(limits)

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None
