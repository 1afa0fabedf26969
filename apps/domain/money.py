"""Nano-dollars as people write them. Arithmetic is in integers; only the edges know dollars."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, Inexact, localcontext

NANO = 1_000_000_000
_CENT = NANO // 100


def nano(dollars: Decimal) -> int:
    """Nano-USD of an amount in dollars. Raises ValueError for a fraction of a nano-dollar."""
    with localcontext() as context:
        context.clear_flags()
        exact = dollars * NANO
        if context.flags[Inexact] or exact != int(exact):
            raise ValueError("amounts go down to a nano-dollar")
    return int(exact)


def dollars(amount: int) -> Decimal:
    return Decimal(amount) / NANO


def text(amount: int) -> str:
    """`$1,234.50`; with as many more digits as the first two that count for less than a cent: `$0.00042`.

    Rounded half up, away from zero: `$0.000585` is `$0.00059`.
    """
    size = abs(amount)
    places = 2 if size == 0 or size >= _CENT else min(9, 11 - len(str(size)))
    step: int = 10 ** (9 - places)
    rounded = (size + step // 2) // step * step
    return exact(rounded if amount >= 0 else -rounded)


def brief(amount: int) -> str:
    """As `text`; from a million dollars on without cents. For a figure that stands alone, never for one of a sum."""
    if abs(amount) < 10**6 * NANO:
        return text(amount)
    return exact(round(amount, -9)).removesuffix(".00")


def exact(amount: int) -> str:
    """Nothing rounded away, two decimals or more: `$0.125`, `$3.00`. For prices, and for the page of one call."""
    whole, _, rest = f"{Decimal(abs(amount)) / NANO:,.9f}".partition(".")
    return f"{'-' if amount < 0 else ''}${whole}.{rest.rstrip('0').ljust(2, '0')}"


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount in proportion to the weights, to the unit: the shares' sum is the amount. What division leaves goes to
    the largest remainders, the first of equal ones. No share is further from zero than its weight if the amount is not
    further than all weights together. Raises ValueError for a weight below zero, and where there is none above."""
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights are not below zero, and one is above")
    sign, size = (-1 if amount < 0 else 1), abs(amount)
    shares = [size * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda index: (-(size * weights[index] % whole), index))
    for index in order[: size - sum(shares)]:
        shares[index] += 1
    return [sign * share for share in shares]
