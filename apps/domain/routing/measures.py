"""How a deployment has fared of late: averages in which a call weighs less the longer ago it was.

The weight of a call falls by half every HALF_LIFE_SECONDS, whatever else happens, so a burst counts as its mean and a
deployment that nobody asks any more is forgotten. Constant time and memory.
"""

from __future__ import annotations

import math

from apps.domain.routing.facts import UNMEASURED, Measured

HALF_LIFE_SECONDS = 60.0
_LEAST_WEIGHT = 0.05  # under which nothing is known any more
_RATE = math.log(2) / HALF_LIFE_SECONDS


class Average:
    """Times are seconds of the caller's clock."""

    __slots__ = ("_at", "_sum", "_weight")

    def __init__(self) -> None:
        self._at = -math.inf
        self._sum = self._weight = 0.0

    def add(self, now: float, sample: float) -> None:
        if now > self._at:
            fade = math.exp(_RATE * (self._at - now))
            self._at = now
            self._sum *= fade
            self._weight *= fade
        self._sum += sample
        self._weight += 1.0

    def weight(self, now: float) -> float:
        """Of the calls that it knows: their number, if they were now."""
        return self._weight * math.exp(-_RATE * max(0.0, now - self._at)) if self._weight else 0.0

    def value(self, now: float) -> float | None:
        return self._sum / self._weight if self.weight(now) >= _LEAST_WEIGHT else None


class Measures:
    """Of one deployment."""

    __slots__ = ("first_token", "success", "tokens_per_second")

    def __init__(self) -> None:
        self.first_token = Average()
        self.tokens_per_second = Average()
        self.success = Average()

    def now(self, now: float) -> Measured:
        success = self.success.value(now)
        if success is None:
            return UNMEASURED
        return Measured(self.first_token.value(now), self.tokens_per_second.value(now), success)
