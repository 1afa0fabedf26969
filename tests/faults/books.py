"""The ledger beside the provider's own meter, in integers.

Each public function returns what is wrong, in words; nothing is right.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from apps.domain import pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.simulator.meter import Reading
from apps.simulator.usage import Counters

FIRST = (1, 2)  # kinds of an attempt's first row: a post, or that nobody knows
RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# An estimate of tokens is bytes / 4; a token has 2 to 8 bytes. While a cancelled stream is noticed, more goes out.
ESTIMATE_FACTOR = 2
IN_FLIGHT_TOKENS = 60


@dataclass(frozen=True)
class Books:
    """What the database says of one tenant (`desk.books`), and what the provider metered meanwhile."""

    entries: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    prices: list[dict[str, Any]]
    readings: list[Reading]
    obeys: bool = True  # the provider kept to `max_tokens`; one that does not may bill beyond what was reserved
    stalls: bool = False  # gateways stood still: what came meanwhile for a client that left was not read

    @cached_property
    def cards(self) -> dict[int, PriceCard]:
        return {
            price["id"]: PriceCard(version=price["id"], effective_from=0, **{name: price[name] for name in RATES})
            for price in self.prices
        }

    def metered(self) -> dict[str, Reading]:
        """The provider's count by attempt. What had no answer on a connection that was idle is sent once more within
        its attempt: such a first one was never billed, or else both are to be in the ledger."""
        found: dict[str, Reading] = {}
        for reading in self.readings:
            if (known := found.get(reading.caller)) is not None and known.billed != Counters():
                reading = msgspec.structs.replace(reading, billed=_both(known.billed, reading.billed))
            found[reading.caller] = reading
        return found

    def attempts(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by attempt, written as the gateway tells it to the provider; the first row first."""
        found = defaultdict(list)
        for entry in sorted(self.entries, key=lambda row: row["kind"]):
            found[f"{uuid.UUID(entry['request_id'])}/{entry['attempt']}"].append(entry)
        return dict(found)


def _both(one: Counters, other: Counters) -> Counters:
    sums = (a + b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True))
    return Counters(**dict(zip(Counters.__struct_fields__, sums, strict=True)))


def differences(books: Books) -> list[str]:
    """All that must hold when every gateway has ended and every journal is taken over."""
    return [
        *_rows(books),
        *_totals(books),
        *_windows(books),
        *(f"lease {lease['id']} is still open" for lease in books.leases if lease["is_open"]),
        *(f"window {window['id']} still holds {window['held']}" for window in books.windows if window["held"]),
    ]


def _rows(books: Books) -> Iterable[str]:
    attempts = books.attempts()
    readings = books.metered()
    for caller, reading in readings.items():
        if caller not in attempts:
            yield f"{caller} was metered ({reading.billed}) and is not in the ledger"
    for caller, rows in attempts.items():
        firsts = [row for row in rows if row["kind"] in FIRST]
        if len(firsts) != 1:
            yield f"{caller} has {len(firsts)} first rows: {[row['kind'] for row in rows]}"
            continue
        yield from _row(books, caller, rows, readings.get(caller))


def _row(books: Books, caller: str, rows: list[dict[str, Any]], reading: Reading | None) -> Iterable[str]:
    low, cost, high = (sum(row[name] for row in rows) for name in ("low_nano", "cost_nano", "high_nano"))
    truth = metered(reading, rows[0], books.cards)
    last = rows[-1]
    told = f"{caller} {last['state']}/{last['usage_source']}/{last['status']} [{low}, {cost}, {high}], metered {truth}"
    if not low <= cost <= high:
        yield f"{told}: not a range"
    if last["state"] == "settled" and last["usage_source"] == "estimated":
        if not _is_near(rows, reading, stalls=books.stalls):
            yield f"{told}: the estimate is far off"
    elif not low <= truth <= high and (books.obeys or truth <= rows[0]["reserved_nano"]):
        yield f"{told}: outside"


def metered(reading: Reading | None, row: dict[str, Any], cards: dict[int, PriceCard]) -> int:
    """What the provider's own count costs at the row's price."""
    card = cards.get(row["price_version"])
    return 0 if reading is None or card is None else pricing.cost(_usage(reading), card)


def _usage(reading: Reading) -> TokenUsage:
    billed = reading.billed
    written = (billed.cache_write_5m, billed.cache_write_1h)
    if reading.dialect == "openai":  # tells how much was written to the cache, but not for how long
        written = (billed.cache_write, 0)
    return TokenUsage(
        in_fresh=billed.fresh,
        in_cache_read=billed.cache_read,
        in_cache_write_5m=written[0],
        in_cache_write_1h=written[1],
        out_total=billed.output,
    )


def _is_near(rows: list[dict[str, Any]], reading: Reading | None, *, stalls: bool) -> bool:
    """Of the output; the prompt is a few tokens."""
    if reading is None:
        return False
    out, emitted = sum(row["out_total"] for row in rows), reading.billed.output
    return out <= emitted * ESTIMATE_FACTOR + 8 and (stalls or emitted <= out * ESTIMATE_FACTOR + IN_FLIGHT_TOKENS)


def _totals(books: Books) -> Iterable[str]:
    """Nothing more was spent than is recorded and reported missing. Estimates are left out, as they claim no bounds,
    and what a provider billed beyond its caller's cap."""
    attempts, readings = books.attempts(), books.metered()
    low = truth = high = 0
    for caller, rows in attempts.items():
        cost = metered(readings.get(caller), rows[0], books.cards)
        is_estimate = rows[-1]["state"] == "settled" and rows[-1]["usage_source"] == "estimated"
        if is_estimate or (not books.obeys and cost > rows[0]["reserved_nano"]):
            continue
        low += sum(row["low_nano"] for row in rows)
        high += sum(row["high_nano"] for row in rows)
        truth += cost
    gaps = sum(gap["amount"] for gap in books.gaps if gap["closed_at"] is None)
    if not low <= truth <= high + gaps:
        yield f"metered {truth} is outside of [{low}, {high} + {gaps}]"


def _windows(books: Books) -> Iterable[str]:
    charged: dict[int, int] = defaultdict(int)
    for entry in books.entries:
        for window in entry["windows"]:
            charged[window] += entry["high_nano"]
    for window in books.windows:
        number, settled = window["id"], window["settled"]
        if settled != charged[number]:
            yield f"window {number} says {settled} is settled, its entries {charged[number]}"
        ceiling = max(window["ceiling"], window["limit"])
        if settled + window["held"] + window["credit"] > ceiling + window["overrun"]:
            yield f"window {number} is over: {window}"
