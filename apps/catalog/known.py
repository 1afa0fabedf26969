"""What is known of vendors' models from public price data: names, windows, prices. No network is asked."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from apps.domain import money

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

# Models that give vectors and nothing else; most lists of models do not tell them apart.
_EMBEDS = re.compile(r"embed|(?:^|[/.])(?:bge|all-minilm)\b", re.IGNORECASE)


class Known(NamedTuple):
    """`prices` as `services.set_price` takes them, in nano-USD per million tokens; what a vendor does not price by
    itself is left out, and without input or output there is none. Its counts are tokens."""

    label: str
    context_tokens: int | None
    prices: dict[str, int]


def model(name: str, *, at: str, now: datetime.datetime) -> Known | None:
    """`at`: what the data call the vendor (`Vendor.prices`); where that is empty nothing is known."""
    if not at:
        return None
    from genai_prices import data_snapshot  # takes a tenth of a second, which a gateway never needs

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(name, None, at, None)
    except LookupError:
        return None
    prices = _prices(found, now=now)
    if gives_embeddings(name):
        prices.setdefault("output", 0)  # there is none
    if not {"input", "output"} <= prices.keys():
        prices = {}
    return Known(found.name or "", found.context_window, prices)


def gives_embeddings(name: str) -> bool:
    """By what everybody calls such models."""
    return _EMBEDS.search(name) is not None


def cheapest(names: list[str], *, at: str, now: datetime.datetime) -> str:
    """The model among `names` that costs least to try; the first if no price is known, none if there is none."""
    priced = [
        (found.prices["output"], found.prices["input"], name)
        for name in names
        if (found := model(name, at=at, now=now)) is not None and found.prices.get("output")
    ]
    if priced:
        return min(priced)[2]
    return names[0] if names else ""


def _prices(found: ModelInfo, *, now: datetime.datetime) -> dict[str, int]:
    card: ModelPrice = found.get_prices(now)
    named = {
        "input": card.input_mtok,
        "output": card.output_mtok,
        "cache_read": card.cache_read_mtok,
        "cache_write_5m": card.cache_write_mtok,
        "cache_write_1h": card.cache_write_1h_mtok,
    }
    return {name: money.nano(_dollars(price)) for name, price in named.items() if price is not None}


def _dollars(price: Decimal | TieredPrices) -> Decimal:
    """Of a price with tiers by prompt length, the first: a card has one price a counter."""
    return price if isinstance(price, Decimal) else price.base
