"""How long a model takes: 150 ms to the first token, then 10 to 20 ms a token. No dice: every run is alike."""

from __future__ import annotations

import msgspec

FIRST_SECONDS = 0.150
GAPS_SECONDS = tuple((10 + step * 7 % 11) / 1000 for step in range(11))


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """`speed` 2 is twice as fast, 0 is without any waiting."""

    speed: float = 1.0

    def first(self) -> float:
        return FIRST_SECONDS / self.speed if self.speed else 0.0

    def gap(self, position: int) -> float:
        return GAPS_SECONDS[position % len(GAPS_SECONDS)] / self.speed if self.speed else 0.0

    def whole(self, tokens: int) -> float:
        """The time of an answer that comes in one piece."""
        average = sum(GAPS_SECONDS) / len(GAPS_SECONDS)
        return self.first() + (tokens * average / self.speed if self.speed else 0.0)
