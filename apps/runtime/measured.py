"""What this process has counted and measured, by a few words each: written from its event loop for less than a
microsecond, read from anywhere.

Words are the catalog's names and those of closed lists. Of what exceeds MOST_APART of a kind the catalog's are counted
as OTHER, and `capped` tells that they were.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

MOST_APART = 1_000
OTHER = "(other)"
OPEN = frozenset({"model", "provider"})  # labels whose words are the catalog's: there may be any number

Words = tuple[str, ...]


class Spread:
    """How many values were within each of `bounds`; the last of `counts` is of those beyond."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Counts:
    """How often, or how much, by words; `labels` name these. A Prometheus counter of this name."""

    def __init__(self, name: str, meaning: str, labels: Words = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.values: dict[Words, float] = {}
        families.append(self)

    def add(self, words: Words, amount: float = 1) -> None:
        try:
            self.values[words] += amount
        except KeyError:
            words = apart(self.name, self.labels, words, taken=len(self.values))
            self.values[words] = self.values.get(words, 0) + amount


class Spreads:
    """How values are spread, by words. A Prometheus histogram of this name."""

    def __init__(self, name: str, meaning: str, labels: Words, *, bounds: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.bounds = bounds
        self.values: dict[Words, Spread] = {}
        families.append(self)

    def add(self, words: Words, value: float) -> None:
        spread = self.values.get(words)
        if spread is None:
            words = apart(self.name, self.labels, words, taken=len(self.values))
            spread = self.values.setdefault(words, Spread(self.bounds))
        spread.add(value)


def apart(name: str, labels: Words, words: Words, *, taken: int) -> Words:
    """As which words something new is counted, where so many are counted apart already: what came of it, and all else
    of which there is a closed list, is told as it is."""
    if taken < MOST_APART:
        return words
    together = tuple(OTHER if label in OPEN else word for label, word in zip(labels, words, strict=True))
    if together != words:
        capped[name] += 1
    return together


families: list[Counts | Spreads] = []
"""All there are, in the order in which their modules were read."""

capped: Counter[str] = Counter()
"""By family: how often something was counted as OTHER."""
