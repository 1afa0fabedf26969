"""How long a model's answers really are: what a call is expected to cost, where its cap says only what it may.

The 99th percentile, because what a call costs beyond its expectation comes out of the overdraft: one call in a hundred
may, so that a budget's amount holds even where one call alone is in flight, and caps of thirty times the usual answer
hold back nothing. Learned by key and model, as an agent's answers say nothing of a classifier's; by the model alone for
a key that is new. No expectation until SAMPLES answers have been seen.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

SAMPLES = 50
QUANTILE = 0.99
# With so many answers a histogram halves all its counts, so that what is new weighs more than what is old.
_REMEMBERED = 2_000
_REFRESH = 32
# Each power of two in four steps: what is read out is at most a quarter too high.
_STEPS = 4
_BUCKETS = _STEPS * 28
_MOST_KNOWN = 4_096


class Outputs:
    """Of one process. A key that is heard of once too many makes it forget the one that was first."""

    def __init__(self) -> None:
        self._models: dict[int, Histogram] = {}
        self._keys: dict[tuple[int, int], Histogram] = {}

    def expected(self, model_id: int, key_id: int) -> int | None:
        """Output tokens that one answer in a hundred exceeds; None: too few have been seen."""
        found = self._keys.get((model_id, key_id))
        if found is None or found.quantile is None:
            found = self._models.get(model_id)
        return found.quantile if found is not None else None

    def note(self, model_id: int, key_id: int, *, tokens: int, is_cut: bool = False) -> None:
        """`is_cut`: it ended at its cap, so the answer would have been as long or longer."""
        by_key = self._keys.get((model_id, key_id))
        if by_key is None:
            if len(self._keys) >= _MOST_KNOWN:
                del self._keys[next(iter(self._keys))]
            by_key = self._keys[model_id, key_id] = Histogram()
        by_model = self._models.get(model_id)
        if by_model is None:
            by_model = self._models[model_id] = Histogram()
        bucket = _bucket(tokens)
        for known in (by_key, by_model):
            # A cut answer counts only where it is longer than what is expected: of a shorter one nothing is known.
            if not is_cut or (known.quantile is not None and tokens >= known.quantile):
                known.add(bucket)


class Histogram:
    """`quantile` is read out anew every few answers, so that asking costs nothing."""

    __slots__ = ("_counts", "_noted", "_total", "quantile")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._total = 0
        self._noted = 0
        self.quantile: int | None = None

    def add(self, bucket: int) -> None:
        self._counts[bucket] += 1
        self._total += 1
        self._noted += 1
        if self._total >= SAMPLES and (self._noted >= _REFRESH or self.quantile is None):
            self._noted = 0
            self.quantile = self._read()
            if self._total >= _REMEMBERED:
                self._counts = [count // 2 for count in self._counts]
                self._total = sum(self._counts)

    def _read(self) -> int:
        above = self._total - int(self._total * QUANTILE)
        longest_first = list(accumulate(reversed(self._counts)))
        return _upper(_BUCKETS - 1 - bisect_left(longest_first, above))


def _bucket(tokens: int) -> int:
    """The power of two, and which quarter of the way to the next."""
    if tokens < _STEPS:
        return max(0, tokens)
    power = tokens.bit_length() - 1
    return min(_BUCKETS - 1, _STEPS * (power - 1) + ((tokens >> (power - 2)) & 3))


def _upper(bucket: int) -> int:
    """The most tokens that fall into it."""
    if bucket < _STEPS:
        return bucket
    power, step = divmod(bucket, _STEPS)
    return ((_STEPS + step + 1) << (power - 1)) - 1
