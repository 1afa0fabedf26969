"""Five disjoint token counters, whatever a provider calls them."""

from __future__ import annotations

import msgspec


class TokenUsage(msgspec.Struct, frozen=True):
    """Counters that never overlap; their sum is what was processed. `out_reasoning` is a part of `out_total`."""

    in_fresh: int = 0
    in_cache_read: int = 0
    in_cache_write_5m: int = 0
    in_cache_write_1h: int = 0
    out_total: int = 0
    out_reasoning: int = 0

    @property
    def in_total(self) -> int:
        return self.in_fresh + self.in_cache_read + self.in_cache_write_5m + self.in_cache_write_1h

    @property
    def total(self) -> int:
        return self.in_total + self.out_total


NOTHING = TokenUsage()
