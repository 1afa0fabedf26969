from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from apps.domain import pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage

SMALL = st.integers(0, 10_000_000)
PRICES = st.integers(0, 100_000_000_000)


def card(*, version: int = 1, effective_from: int = 0, **prices: int) -> PriceCard:
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    return PriceCard(version=version, effective_from=effective_from, **(dict.fromkeys(kinds, 0) | prices))


def test_each_counter_has_its_price():
    usage = TokenUsage(1_000, 2_000, 3_000, 4_000, out_total=5_000, out_reasoning=4_999)
    prices = card(
        input=3_000_000_000,
        cache_read=300_000_000,
        cache_write_5m=3_750_000_000,
        cache_write_1h=6_000_000_000,
        output=15_000_000_000,
    )
    assert pricing.cost(usage, prices) == 3_000_000 + 600_000 + 11_250_000 + 24_000_000 + 75_000_000


def test_half_a_nano_dollar_is_rounded_up_and_less_is_dropped():
    assert pricing.cost(TokenUsage(in_fresh=1), card(input=499_999)) == 0
    assert pricing.cost(TokenUsage(in_fresh=1), card(input=500_000)) == 1
    assert pricing.cost(TokenUsage(in_fresh=3), card(input=500_000)) == 2


def test_it_rounds_once_a_row_and_not_once_a_counter():
    usage = TokenUsage(in_fresh=1, in_cache_read=1, out_total=1)
    assert pricing.cost(usage, card(input=400_000, cache_read=400_000, output=400_000)) == 1


@given(st.lists(SMALL, min_size=5, max_size=5), st.lists(PRICES, min_size=5, max_size=5))
def test_it_is_never_more_than_half_a_nano_dollar_off(counters, prices):
    fresh, read, short, long, out = counters
    usage = TokenUsage(fresh, read, short, long, out_total=out)
    names = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    exact = Fraction(sum(count * price for count, price in zip(counters, prices, strict=True)), 1_000_000)
    cost = pricing.cost(usage, card(**dict(zip(names, prices, strict=True))))
    assert -Fraction(1, 2) < cost - exact <= Fraction(1, 2)


def test_the_newest_card_in_force_is_taken_whatever_the_order():
    cards = tuple(card(version=version, effective_from=version * 100) for version in (3, 1, 2))
    assert pricing.card_at(cards, 99) is None
    assert [pricing.card_at(cards, now).version for now in (100, 250, 300, 10_000)] == [1, 2, 3, 3]
