"""Columns that the ledger and its rollups have in common where they are taken away as a file."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from apps.domain import money

COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total", "out_reasoning")


def dollars_of(name: str) -> Callable[[Any], Decimal | str]:
    """Of a column in nano-dollars, nothing rounded away."""

    def shown(row: Any) -> Decimal | str:
        value = getattr(row, name)
        return "" if value is None else money.dollars(value)

    return shown
