"""Limits with counters of their own, and what limiters are asked in tests."""

from __future__ import annotations

import asyncio
import itertools
import time

from apps.domain.snapshot import Limit
from apps.quotas.counters import Limiter
from apps.quotas.redis_counters import RedisLimiter

# A busy machine is no broken server.
PATIENT = 2.0
DEADLINE = 20.0

_numbers = itertools.count(1)


def limit(**fields: int) -> Limit:
    return Limit(id=1, key=f"test:{time.time_ns()}:{next(_numbers)}", scope="tenant", **fields)


async def count(limiter: Limiter, *limits: Limit, times: int, tokens: int = 0) -> int:
    """How many of so many calls at once are admitted."""
    decisions = await asyncio.gather(*(limiter.acquire(limits, tokens=tokens) for _ in range(times)))
    return sum(decision.allowed for decision in decisions)


async def admitted_eventually(limiter: Limiter, rule: Limit, tokens: int = 0) -> bool:
    """A release does not wait for its effect, so no limiter promises one at once."""
    deadline = time.monotonic() + DEADLINE
    while not (await limiter.acquire([rule], tokens=tokens)).allowed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    return True


async def well(limiter: RedisLimiter, *, is_it: bool = True) -> None:
    """Until the shared counters are back, or known to be away."""
    deadline = time.monotonic() + DEADLINE
    while limiter.is_well is not is_it:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
