"""Time limits of one answer, on one timer.

A stream of a thousand events must not cost a thousand timers. The timer is armed for the earliest moment at which
something could be late; when it fires and nothing is, it is armed anew. Only time spent waiting for the upstream
counts: while the consumer is busy, nothing is late but the whole.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from apps.domain import errors
from apps.domain.snapshot import Timeouts

Phase = Literal["first byte", "idle", "total"]


class Deadline:
    """Cancels the waiting task when a limit passes; `fault` then says which, as `asyncio.timeout` would.

    Use: `begin_wait()`, await, `end_wait()`; on CancelledError ask `fault()`.
    """

    __slots__ = (
        "_cancelling",
        "_due",
        "_expired",
        "_loop",
        "_owner",
        "_phase",
        "_started",
        "_task",
        "_timeouts",
        "_timer",
        "_total_at",
    )

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._started = now = self._loop.time()
        self._total_at = now + timeouts.total
        self._due = now + timeouts.first_byte
        self._phase: Phase = "first byte"
        self._owner = asyncio.current_task(self._loop)  # finding out costs microseconds, and it hardly ever changes
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self._expired = False

    @property
    def elapsed(self) -> float:
        return self._loop.time() - self._started

    def begin_wait(self) -> None:
        if self._phase == "idle":
            self._due = self._loop.time() + self._timeouts.idle
        self._task = task = self._owner
        assert task is not None
        self._cancelling = task.cancelling()
        due = self._due if self._due < self._total_at else self._total_at
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._fire)
        elif self._timer.when() > due:
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._fire)

    def end_wait(self) -> None:
        self._task = None

    def first_byte_seen(self) -> None:
        """From here on each wait has the idle limit of its own."""
        self._phase = "idle"

    def stop(self) -> None:
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fault(self) -> errors.UpstreamTimeout | None:
        """The time limit that passed; None if somebody else cancelled the task, too."""
        task, self._task = asyncio.current_task(self._loop), None
        if not self._expired or task is None:
            return None
        self._expired = False
        if task.uncancel() > self._cancelling:
            return None
        return errors.UpstreamTimeout(self._message())

    def _fire(self) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody waits; the next wait arms it again
        due = min(self._due, self._total_at)
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._fire)
            return
        self._expired = True
        self._task.cancel()

    def _message(self) -> str:
        if self._total_at <= self._due:
            return f"The provider did not finish within {self._timeouts.total:g} s."
        if self._phase == "first byte":
            return f"The provider sent no first byte within {self._timeouts.first_byte:g} s."
        return f"The provider sent nothing for {self._timeouts.idle:g} s."
