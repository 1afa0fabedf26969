"""Leaving a deployment alone that fails: a circuit breaker with the semantics of resilience4j.

Closed: calls are let through and counted in a window, of the last calls or of the last seconds. Once it holds the
minimum, a failure rate or a slow-call rate at its threshold opens it, or that the last so many calls have all failed.
Open: nobody is let through for a time. Half open: so many calls are; when all of them are back, their rates close it or
open it anew. What is to be ignored gives its permit back. Two things are not as there. A call counts only in the phase
that let it through. And failures in succession open it: after many calls that went well a rate of half needs as many
that fail, each of which another deployment must answer.
https://resilience4j.readme.io/docs/circuitbreaker

Times are seconds of the caller's clock. Each operation takes constant time, in the window of seconds on average.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from apps.domain.snapshot import Breaker as Rules

Phase = Literal["closed", "open", "half_open"]

_CROWDED_SECONDS = 1.0  # when to ask again where every half-open call is under way


class Breaker:
    """`reason`: why it last opened, in a few words. `round_size`: the calls of a half-open round, where several
    processes share one out; of the next round, when one is under way."""

    __slots__ = (
        "_in_succession",
        "_minimum",
        "_out",
        "_permit",
        "_round",
        "_rules",
        "_window",
        "phase",
        "reason",
        "round_size",
        "until",
    )

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._window = _window(rules)
        self._minimum = min(rules.minimum_calls, rules.size) if rules.window == "count" else rules.minimum_calls
        self._in_succession = 0  # that have failed, while it is closed
        self._permit = 0  # the newest; one for all calls of a closed phase
        self._out: dict[int, float] = {}  # in half open: permits, and when they come back by themselves
        self.phase: Phase = "closed"
        self.until = -math.inf  # when it has been open for long enough
        self.reason = ""
        self.round_size = self._round = rules.half_open_calls

    def open_for(self, now: float) -> float:
        """Seconds for which nobody is let through; 0: somebody is."""
        if self.phase == "closed":
            return 0.0
        if self.phase == "open":
            return max(0.0, self.until - now)
        return 0.0 if self._has_spare(now) else _CROWDED_SECONDS

    def take(self, now: float, *, seconds: float = math.inf) -> int | None:
        """A permit, to be handed to `record` or `release`; None: not now. One of a half-open round comes back by itself
        after `seconds`."""
        if self.phase == "closed":
            return self._permit
        if self.phase == "open":
            if now < self.until:
                return None
            self._round = self.round_size
            self._enter("half_open", _Calls(self._round))
        if not self._has_spare(now):
            return None
        self._permit += 1
        self._out[self._permit] = now + seconds
        return self._permit

    def record(self, permit: int, now: float, *, is_failure: bool, is_slow: bool = False) -> bool:
        """A call has ended; whether that opens or closes it. One that another phase let through counts for nothing."""
        window = self._window
        if self.phase == "closed":
            if permit != self._permit:
                return False
            window.add(now, is_failure, is_slow)
            self._in_succession = self._in_succession + 1 if is_failure else 0
            if not (window.failed or window.slow) or window.calls < self._minimum:
                return False
            why = self._why() or self._why_in_succession()
            if why:
                self.open(now, why)
            return bool(why)
        if self._out.pop(permit, None) is None:
            return False
        window.add(now, is_failure, is_slow)
        if window.calls < self._round:
            return False
        if why := self._why():
            self.open(now, f"half open: {why}")
        else:
            self.close()
        return True

    def release(self, permit: int) -> None:
        """The call says nothing of the deployment."""
        self._out.pop(permit, None)

    def open(self, now: float, reason: str, *, seconds: float | None = None) -> None:
        self._enter("open", self._window)
        self.until = now + (self._rules.open_seconds if seconds is None else seconds)
        self.reason = reason

    def close(self) -> None:
        self._enter("closed", _window(self._rules))

    def _enter(self, phase: Phase, window: _Window) -> None:
        self.phase = phase
        self._permit += 1
        self._in_succession = 0
        self._out.clear()
        self._window = window

    def _has_spare(self, now: float) -> bool:
        if self._window.calls + len(self._out) < self._round:
            return True
        for permit, due in [*self._out.items()]:
            if now >= due:
                del self._out[permit]
        return self._window.calls + len(self._out) < self._round

    def _why(self) -> str:
        """Which rate is at its threshold; "": none."""
        window, rules = self._window, self._rules
        if window.failed * 100 >= rules.failure_rate * window.calls:
            return f"{window.failed} of {window.calls} calls failed"
        if window.slow * 100 >= rules.slow_rate * window.calls:
            return f"{window.slow} of {window.calls} calls were slower than {rules.slow_seconds:g} s"
        return ""

    def _why_in_succession(self) -> str:
        if self._in_succession < self._minimum:
            return ""
        return f"the last {self._minimum} calls failed" if self._minimum > 1 else "the last call failed"


class _Window(Protocol):
    calls: int
    failed: int
    slow: int

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None: ...


class _Calls:
    """The last `size` calls, in a ring: bit 0 of a failure, bit 1 of a slow one."""

    __slots__ = ("_next", "_ring", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._next = 0
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None:
        ring, index = self._ring, self._next
        if self.calls == len(ring):
            self.failed -= ring[index] & 1
            self.slow -= ring[index] >> 1
        else:
            self.calls += 1
        self.failed += is_failure
        self.slow += is_slow
        ring[index] = is_failure | is_slow << 1
        self._next = (index + 1) % len(ring)


class _Seconds:
    """The calls of the last `size` seconds, this one with them: sums by the second, of those that had any."""

    __slots__ = ("_newest", "_over_at", "_size", "_sums", "calls", "failed", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._sums: deque[list[int]] = deque()  # [second, calls, failed, slow]
        self._newest: list[int] = []
        self._over_at = -math.inf  # when its second is
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, is_failure: bool, is_slow: bool) -> None:
        if now >= self._over_at:
            self._begin(math.floor(now))
        newest = self._newest
        newest[1] += 1
        self.calls += 1
        if is_failure:
            newest[2] += 1
            self.failed += 1
        if is_slow:
            newest[3] += 1
            self.slow += 1

    def _begin(self, second: int) -> None:
        self._drop(second - self._size)
        self._newest = [second, 0, 0, 0]
        self._sums.append(self._newest)
        self._over_at = second + 1

    def _drop(self, last: int) -> None:
        sums = self._sums
        while sums and sums[0][0] <= last:
            _, calls, failed, slow = sums.popleft()
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow


def _window(rules: Rules) -> _Window:
    return _Calls(rules.size) if rules.window == "count" else _Seconds(rules.size)
