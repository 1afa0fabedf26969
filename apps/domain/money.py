"""Nano-dollars as people write them. Arithmetic is in integers; only the edges know dollars."""

from __future__ import annotations

from decimal import Decimal

NANO = 1_000_000_000
_CENT = NANO // 100


def nano(dollars: Decimal) -> int:
    """Nano-USD of an amount in dollars. Raises ValueError for a fraction of a nano-dollar."""
    exact = dollars * NANO
    if exact != int(exact):
        raise ValueError("amounts go down to a nano-dollar")
    return int(exact)


def dollars(amount: int) -> Decimal:
    return Decimal(amount) / NANO


def text(amount: int) -> str:
    """`$1,234.50`; with as many more digits as the first two that count for less than a cent: `$0.00042`."""
    sign, size = ("-", -amount) if amount < 0 else ("", amount)
    if size == 0 or size >= _CENT:
        return f"{sign}${Decimal(size) / NANO:,.2f}"
    return f"{sign}${_small(size)}"


def exact(amount: int) -> str:
    """Nothing rounded away, two decimals or more: `$0.125`, `$3.00`. For prices."""
    whole, _, rest = f"{Decimal(amount) / NANO:,.9f}".partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def _small(size: int) -> str:
    digits = f"{size:09d}"
    first = len(digits) - len(digits.lstrip("0"))
    return "0." + digits[: first + 2].rstrip("0")
