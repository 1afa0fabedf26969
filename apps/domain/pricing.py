"""Counters times a price card, in integer nano-dollars.

Prices are nano-USD per million tokens, so the product is exact in units of 10**-15 USD and is rounded half up once,
at the end of the row.
"""

from __future__ import annotations

from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage

MILLION = 1_000_000


def cost(usage: TokenUsage, card: PriceCard) -> int:
    """Nano-USD for one attempt."""
    exact = (
        usage.in_fresh * card.input
        + usage.in_cache_read * card.cache_read
        + usage.in_cache_write_5m * card.cache_write_5m
        + usage.in_cache_write_1h * card.cache_write_1h
        + usage.out_total * card.output
    )
    return (exact + MILLION // 2) // MILLION


def ceiling(usage: TokenUsage, card: PriceCard) -> int:
    """Nano-USD if all of the input were of the dearest kind: what a reservation holds, not knowing what is cached."""
    dearest = max(card.input, card.cache_read, card.cache_write_5m, card.cache_write_1h)
    return (usage.in_total * dearest + usage.out_total * card.output + MILLION // 2) // MILLION


def card_at(cards: tuple[PriceCard, ...], now: int) -> PriceCard | None:
    """The card in force at `now` (unix seconds); None: the deployment has no price."""
    current = None
    for card in cards:
        if card.effective_from <= now and (current is None or card.effective_from >= current.effective_from):
            current = card
    return current
