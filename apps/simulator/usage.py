"""Five disjoint counters, as the meter writes them. `reasoning` is a part of `output`."""

from __future__ import annotations

import msgspec


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    fresh: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def prompt(self) -> int:
        """All that went in, as OpenAI counts it."""
        return self.fresh + self.cache_read + self.cache_write


ABSURD = Counters(fresh=-7, cache_read=10**18, output=10**18, reasoning=-1)
