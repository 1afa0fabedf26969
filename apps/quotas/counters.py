"""Who may pass now: in this process alone, or with the others through Redis. Neither ever counts money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from django.conf import settings

from apps.domain.limits.decision import Decision, Stand
from apps.domain.snapshot import Limit, Outage
from apps.quotas.local_counters import LocalLimiter


class Limiter(Protocol):
    async def start(self) -> None:
        """Looks for what is shared, not for long. Never fails."""

    async def acquire(self, limits: Sequence[Limit], *, tokens: int, on_outage: Outage = "lease") -> Decision:
        """Takes one request, `tokens` and a place from every limit, or nothing from any. No limit comes twice.

        `on_outage` says what is wanted while shared counters are away: this process's share ("lease"), no limits
        ("open"), or Unavailable, the only error that this raises ("closed").
        """

    async def stands(self, limits: Sequence[Limit]) -> list[Stand] | None:
        """What is left of each limit, without taking any; None: it cannot be asked now."""

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
