"""Rows and columns of a breakdown: what a page shows, and what a file of it says, are the same sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from apps.domain import money
from apps.usage.reports.breakdowns import Breakdown, Slice
from apps.usage.reports.sources import Amounts
from apps.usage.reports.spans import Span

_COUNTS: dict[str, Callable[[Amounts], int]] = {
    "calls": lambda amounts: amounts.calls,
    "errors": lambda amounts: amounts.errors,
    "input_tokens": lambda amounts: amounts.in_fresh,
    "cache_read_tokens": lambda amounts: amounts.in_cache_read,
    "cache_write_tokens": lambda amounts: amounts.in_cache_write,
    "output_tokens": lambda amounts: amounts.out_total,
    "reasoning_tokens": lambda amounts: amounts.out_reasoning,
    "unconfirmed_calls": lambda amounts: amounts.unconfirmed,
    "estimated_calls": lambda amounts: amounts.estimated,
    "unpriced_calls": lambda amounts: amounts.unpriced,
}


def of_slices(found: Breakdown) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows: the dearest, the others together, and the total. Dollars to the last digit."""
    is_compared = found.total.before is not None
    headings = [found.dimension or "all", "cost_usd", *_COUNTS, "cost_per_1000_calls_usd", "saved_by_cache_usd"]
    if is_compared:
        headings += ["cost_before_usd", "calls_before"]
    return headings, [_row(one, is_compared=is_compared) for one in parts(found, with_total=True)]


def of_buckets(found: Breakdown, span: Span) -> tuple[list[str], list[list[Any]]]:
    """The cost of each slice by bucket, in dollars: what the bars are drawn from."""
    shown = parts(found, with_total=True)
    headings = [f"{span.step} ({span.zone})", *(f"{one.label} usd" for one in shown)]
    return headings, [
        [label, *(_usd(one.points[number]) for one in shown)] for number, label in enumerate(bucket_labels(span))
    ]


def parts(found: Breakdown, *, with_total: bool = False) -> list[Slice]:
    others = [found.other] if found.other is not None else []
    return [*found.slices, *others, *([found.total] if with_total or found.dimension is None else [])]


def bucket_labels(span: Span) -> list[str]:
    """Local days; local hours with their day, and with the offset of the clock, as one hour may come twice."""
    shape = "%Y-%m-%d" if span.step == "day" else "%Y-%m-%d %H:%M%z"
    return [f"{mark.astimezone(span.place):{shape}}" for mark in span.marks]


def change(now: int, before: int | None) -> int | None:
    """In percent, rounded half away from zero; None: there is nothing to compare with."""
    if not before:
        return None
    twice = 200 * (now - before)
    return (abs(twice) + before) // (2 * before) * (1 if twice >= 0 else -1)


def _row(one: Slice, *, is_compared: bool) -> list[Any]:
    amounts = one.amounts
    row = [one.label, _usd(amounts.cost_nano), *(count(amounts) for count in _COUNTS.values())]
    row += [_usd(amounts.cost_per_1000_calls), _usd(amounts.saved_nano)]
    if is_compared and one.before is not None:
        row += [_usd(one.before.cost_nano), one.before.calls]
    return row


def _usd(amount: int | None) -> Decimal | None:
    return None if amount is None else money.dollars(amount)


def batches(rows: list[list[Any]]) -> Iterator[list[list[Any]]]:
    yield rows
