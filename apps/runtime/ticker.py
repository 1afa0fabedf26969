"""The time, told to all who wait for something, ten times a second.

A call has several limits that hardly ever pass. A timer each would cost every call microseconds to set and to cancel;
here it costs a set's `add` and `discard`, and nobody needs to read the clock for every chunk of a stream.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1


class Waiting(Protocol):
    def tick(self, now: float) -> None:
        """`now` on the loop's clock. Called until it is discarded."""


class Ticker:
    """Of one event loop. Runs while there is anyone to tell."""

    __slots__ = ("_loop", "_members", "_timer")

    def __init__(self) -> None:
        """Inside the running loop."""
        self._loop = asyncio.get_running_loop()
        self._members: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, member: Waiting) -> None:
        self._members.add(member)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def discard(self, member: Waiting) -> None:
        self._members.discard(member)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick) if self._members else None
        now = self._loop.time()
        for member in tuple(self._members):
            try:
                member.tick(now)
            except Exception:
                log.exception("what waits could not be told the time")
