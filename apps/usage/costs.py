"""How the cost of an entry came about: counter by counter, at the price that was in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from apps.catalog.models import Price
from apps.domain import money
from apps.domain.pricing import MILLION
from apps.usage.models import Entry, Kind, Source, Status

COUNTERS = (
    ("Input", "in_fresh", "input"),
    ("Input from cache", "in_cache_read", "cache_read"),
    ("Input to cache, 5 minutes", "in_cache_write_5m", "cache_write_5m"),
    ("Input to cache, 1 hour", "in_cache_write_1h", "cache_write_1h"),
    ("Output", "out_total", "output"),
)


class Line(NamedTuple):
    """`rate` is nano-USD per million tokens, `amount` nano-USD; None: there was no price. `is_part`: of the line
    before, and priced there."""

    label: str
    tokens: int
    rate: int | None = None
    amount: int | None = None
    is_part: bool = False


def lines(entry: Entry) -> list[Line]:
    """Each amount is rounded by itself here; the row's cost is rounded once. At most one query."""
    price = Price.objects.filter(pk=entry.price_version).first() if entry.price_version is not None else None
    found = []
    for label, counter, name in COUNTERS:
        tokens = getattr(entry, counter)
        if not tokens and counter not in ("in_fresh", "out_total"):
            continue
        rate = getattr(price, name) if price is not None else None
        found.append(Line(label, tokens, rate, None if rate is None else _rounded(tokens * rate)))
    if price is not None and (guess := _guessed(entry, price)) is not None:
        found.append(guess)
    if entry.out_reasoning:
        found.append(Line("of the output, reasoning", entry.out_reasoning, is_part=True))
    return found


def shown(entry: Entry, *, write: Callable[[int], str] = money.text) -> str:
    """A difference with its sign, a range where the truth is not known, and of an answer that had been given before
    what it had cost then."""
    if entry.cached is not None:
        return f"cache hit, saved {write(entry.saved_nano or 0)}"
    if entry.is_difference:
        return f"{'+' if entry.cost_nano >= 0 else ''}{write(entry.cost_nano)}"
    if entry.is_unpriced:
        return "unpriced"
    if entry.low_nano != entry.high_nano:
        return f"{write(entry.low_nano)} to {write(entry.high_nano)}"
    return write(entry.cost_nano)


def _guessed(entry: Entry, price: Price) -> Line | None:
    """What recovery adds to what was seen of an attempt whose process died: the row keeps it in its cost only."""
    if (entry.kind, entry.status, entry.usage_source) != (Kind.UNCONFIRMED, Status.INTERRUPTED, Source.ESTIMATED):
        return None
    seen = sum(getattr(entry, counter) * getattr(price, name) for _, counter, name in COUNTERS)
    rest = entry.cost_nano - _rounded(seen)
    if rest <= 0 or not price.output:
        return None
    return Line("Output not seen, two more seconds, a guess", round(rest * MILLION / price.output), price.output, rest)


def _rounded(millionths: int) -> int:
    return (millionths + MILLION // 2) // MILLION
