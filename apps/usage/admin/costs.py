"""How the cost of an entry came about: counter by counter, at the price that was in force."""

from __future__ import annotations

from collections.abc import Callable

from apps.audit import cells
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


def breakdown(entry: Entry) -> str:
    """Each amount is rounded by itself here; the row's cost is rounded once."""
    price = Price.objects.filter(pk=entry.price_version).first() if entry.price_version is not None else None
    rows = []
    for label, counter, name in COUNTERS:
        tokens = getattr(entry, counter)
        if not tokens and counter not in ("in_fresh", "out_total"):
            continue
        rate = getattr(price, name) if price is not None else None
        rows.append((label, cells.number(tokens), *_priced(tokens, rate)))
    if price is not None and (guess := _guessed(entry, price)):
        rows.append(("Output not seen, two more seconds, a guess", *guess))
    if entry.out_reasoning:
        rows.append(("of the output, reasoning", cells.number(entry.out_reasoning), "", ""))
    return cells.table(("", "Tokens", "$ per 1M", "Amount"), rows)


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


def _guessed(entry: Entry, price: Price) -> tuple[str, str, str] | None:
    """Tokens, rate and amount of what recovery adds to what was seen of an attempt whose process died: the row keeps
    it in its cost only."""
    if (entry.kind, entry.status, entry.usage_source) != (Kind.UNCONFIRMED, Status.INTERRUPTED, Source.ESTIMATED):
        return None
    seen = sum(getattr(entry, counter) * getattr(price, name) for _, counter, name in COUNTERS)
    rest = entry.cost_nano - (seen + MILLION // 2) // MILLION
    if rest <= 0 or not price.output:
        return None
    tokens = cells.number(round(rest * MILLION / price.output))
    return tokens, cells.amount(money.exact(price.output)), cells.amount(money.exact(rest))


def _priced(tokens: int, rate: int | None) -> tuple[str, str]:
    if rate is None:
        return cells.NOTHING, cells.NOTHING
    return cells.amount(money.exact(rate)), cells.amount(money.exact((tokens * rate + MILLION // 2) // MILLION))
