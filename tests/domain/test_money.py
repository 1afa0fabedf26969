"""How amounts are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import money


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (420_000, "$0.00042"),
        (4_200_000, "$0.0042"),
        (10_000_000, "$0.01"),
        (1_234_567_890_000, "$1,234.57"),
        (-5_000_000_000, "-$5.00"),
        (-1_230, "-$0.0000012"),
        (585_000, "$0.00059"),
        (-585_000, "-$0.00059"),
        (584_999, "$0.00058"),
        (9_950_000, "$0.01"),
        (25_000_000, "$0.03"),
        (24_999_999, "$0.02"),
        (999_995_000_000, "$1,000.00"),
    ],
)
def test_an_amount_shows_cents_or_its_first_two_digits_rounded_half_up(amount, text):
    assert money.text(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(585_000, "$0.000585"), (1, "$0.000000001"), (0, "$0.00"), (-3_000_000_000, "-$3.00")]
)
def test_an_exact_amount_loses_nothing(amount, text):
    assert money.exact(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (999_999_990_000_000, "$999,999.99"),
        (1_000_000_490_000_000, "$1,000,000"),
        (1_247_617_629_510_000_000, "$1,247,617,630"),
        (-2_000_000_000_000_000, "-$2,000,000"),
    ],
)
def test_a_million_has_no_cents_where_it_stands_alone(amount, text):
    assert money.brief(amount) == text


def test_dollars_and_nano_dollars_are_the_same_both_ways():
    assert money.nano(Decimal("3.000000001")) == 3_000_000_001
    assert money.dollars(3_000_000_001) == Decimal("3.000000001")


def test_less_than_a_nano_dollar_is_refused():
    with pytest.raises(ValueError, match="nano-dollar"):
        money.nano(Decimal("0.0000000001"))
    with pytest.raises(ValueError, match="nano-dollar"):
        money.nano(Decimal("1.0000000000000000000000000000001"))


@given(
    amount=st.integers(-(10**18), 10**18),
    weights=st.lists(st.integers(0, 10**15), min_size=1, max_size=50).filter(any),
)
def test_an_amount_is_spread_to_the_unit_and_nobody_gets_more_than_a_unit_off(amount, weights):
    shares = money.spread(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - amount * weight) < sum(weights)
        assert weight or not share
        if abs(amount) <= sum(weights):
            assert abs(share) <= weight


@pytest.mark.parametrize("weights", [[], [0, 0], [3, -1]])
def test_nothing_is_spread_over_nobody(weights):
    with pytest.raises(ValueError, match="weights"):
        money.spread(5, weights)
