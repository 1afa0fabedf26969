"""Time limits of one answer.

An upstream is late only while it is waited for; if it is the consumer that takes time, the whole is late when it asks
for more. A limit is looked at when the ticker ticks, so it passes up to two ticks late, and a chunk costs two
assignments and no clock.
"""

from __future__ import annotations

import asyncio

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.runtime.ticker import Ticker


class Deadline:
    """Cancels the task it was made in when a limit passes; `fault` then says which, as `asyncio.timeout` would.

    Use: `is_waiting = has_moved = True`, await, `is_waiting = False`; on CancelledError ask `fault()`.
    """

    __slots__ = (
        "_cancelling",
        "_due",
        "_expired",
        "_loop",
        "_started",
        "_task",
        "_ticker",
        "_timeouts",
        "_total_at",
        "has_moved",
        "is_begun",
        "is_waiting",
    )

    def __init__(self, timeouts: Timeouts, *, ticker: Ticker) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._started = now = self._loop.time()
        self._total_at = now + timeouts.total
        self._due = now + timeouts.first_byte
        self.is_begun = False  # the first byte was seen; from then on each wait has the idle limit of its own
        self._expired = False
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._ticker = ticker
        self.is_waiting = False
        self.has_moved = False  # a wait has begun since the last tick
        ticker.add(self)

    @property
    def elapsed(self) -> float:
        return self._loop.time() - self._started

    def stop(self) -> None:
        self.is_waiting = False
        self._ticker.discard(self)

    def fault(self) -> errors.UpstreamTimeout | None:
        """The time limit that passed; None if somebody else cancelled the task, too."""
        self.is_waiting = False
        if not self._expired:
            return None
        self._expired = False
        if self._task.uncancel() > self._cancelling:
            return None
        return errors.UpstreamTimeout(self._message())

    def tick(self, now: float) -> None:
        if self.is_begun and (self.has_moved or not self.is_waiting):
            self._due = now + self._timeouts.idle
        self.has_moved = False
        if self.is_waiting and not self._expired and now >= min(self._due, self._total_at):
            self._expired = True
            self._task.cancel()

    def _message(self) -> str:
        if self._total_at <= self._due:
            return f"The provider did not finish within {self._timeouts.total:g} s."
        if not self.is_begun:
            return f"The provider sent no first byte within {self._timeouts.first_byte:g} s."
        return f"The provider sent nothing for {self._timeouts.idle:g} s."
