"""From samples to figures: percentiles, medians over rounds, ratios, and how they stand to the targets."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.wire import EVENTS, LONG_EVENTS, Mode, Pair

HEADLINE = "anthropic→anthropic"
UNNOTICED_US = 0.5
PACED_WORDS = "200 streams of 50 events/s: at most 10 ms later at the 99th percentile of events"
BOOKED = ("weir", "weir-pg")
BOOKS = {"books_p50_ms": "p50_ms", "books_p99_ms": "p99_ms", "books_core_ms": "processor_ms"}
QUIET = 0.85  # of its core, which a relay with 32 busy callers uses when nobody else wants it

Row = dict[str, Any]  # as it is written to JSON


@dataclass(frozen=True)
class Cell:
    """What is measured: a contender, a kind of call, at so many connections. `pair`: client's → upstream's dialect."""

    name: str
    mode: Mode
    connections: int
    pair: Pair = "anthropic→anthropic"


@dataclass(frozen=True)
class Sample:
    """One round of one cell. `busy` is the share of its core that the gateway used, where that can be told."""

    rate: float
    latencies: Sequence[float]
    first_bytes: Sequence[float] = ()
    busy: float | None = None
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """`reached` None: there was nothing to measure it by."""

    words: str
    value: float | None
    reached: bool | None
    unit: str


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that so many of them do not exceed (nearest rank); None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row(cell: Cell, samples: Sequence[Sample], *, rss_mb: float | None) -> Row:
    """Medians over the rounds. An error anywhere makes the figures invalid, which the row says."""
    errors = sum((sample.errors for sample in samples), collections.Counter())
    rates = [sample.rate for sample in samples]
    named = dict.fromkeys(name for sample in samples for name in sample.extra)
    extra = {name: _median([sample.extra.get(name) for sample in samples]) for name in named}
    return {
        "name": cell.name,
        "mode": cell.mode,
        "connections": cell.connections,
        "pair": cell.pair,
        "rps": _median(rates),
        "p50_ms": _median([percentile(sample.latencies, 0.50) for sample in samples], digits=3),
        "p99_ms": _median([percentile(sample.latencies, 0.99) for sample in samples], digits=3),
        "rss_mb": rss_mb,
        "first_byte_p50_ms": _median([percentile(sample.first_bytes, 0.50) for sample in samples], digits=3),
        "busy": _median([sample.busy for sample in samples], digits=3),
        "processor_ms": _median([_processor_ms(sample) for sample in samples], digits=4),
        "rps_rounds": [round(rate, 1) for rate in rates],
        "processor_ms_rounds": [_processor_ms(sample) for sample in samples],
        "calls": sum(len(sample.latencies) for sample in samples),
        "errors": dict(errors),
        "valid": not errors and all(rates),
        **extra,
    }


def _processor_ms(sample: Sample) -> float | None:
    """Processor time of the gateway a call."""
    return sample.busy * 1000 / sample.rate if sample.busy is not None and sample.rate else None


def _median(values: Sequence[float | None], *, digits: int = 1) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), digits) if known else None


def find(rows: Iterable[Row], name: str, mode: str, connections: int | None = None) -> Row | None:
    return next(
        (
            row
            for row in rows
            if (row["name"], row["mode"]) == (name, mode) and connections in (None, row["connections"])
        ),
        None,
    )


def compare(rows: Sequence[Row]) -> None:
    """Adds, where both sides were measured, `ratio_to_bare` (calls/s), `core_ratio_to_bare` and `added_ms`.

    The second is what the first would be if nothing else ran on the machine: calls a second of the gateway's own
    processor time. Both are medians of what the rounds say: a machine that is slow for a while is so for neighbours in
    time, which a ratio of medians would not see. `added_ms` is the median latency above direct. Of an edition that
    keeps books, `books_p50_ms`, `books_p99_ms` and `books_core_ms` are what it has above the one that keeps none.
    """
    for row in rows:
        alike = [other for other in rows if _likeness(other) == _likeness(row)]
        bare, direct = find(alike, "bare", row["mode"]), find(alike, "direct", row["mode"])
        if row["mode"] == "idle" or row["name"] == "direct":
            continue
        if row["mode"] == "paced":
            _add_lateness(row, find(rows, "direct", "paced"))
            continue
        if bare:
            row |= _ratios(row, bare)
        if direct and direct["p50_ms"] is not None and row["p50_ms"] is not None:
            row["added_ms"] = round(row["p50_ms"] - direct["p50_ms"], 3)
        off = find(alike, "off", row["mode"])
        if off and row["name"] in BOOKED:
            for difference, figure in BOOKS.items():
                if off[figure] is not None and row[figure] is not None:
                    row[difference] = round(row[figure] - off[figure], 4)


def _ratios(row: Row, bare: Row) -> Row:
    """Those that are known. By core time less is more."""
    rates = _paired(row["rps_rounds"], bare["rps_rounds"])
    times = _paired(bare["processor_ms_rounds"], row["processor_ms_rounds"])
    known = {"ratio_to_bare": _median(rates, digits=3), "core_ratio_to_bare": _median(times, digits=3)}
    return {name: ratio for name, ratio in known.items() if ratio is not None}


def _paired(above: Sequence[float | None], below: Sequence[float | None]) -> list[float | None]:
    """Round by round; one that was cut short has no fellow."""
    return [one / other if one and other else None for one, other in zip(above, below, strict=False)]


def _add_lateness(row: Row, direct: Row | None) -> None:
    """`added_ms` and `added_p99_ms` above an event that comes straight from the provider."""
    for added, figure in {"added_ms": "p50_ms", "added_p99_ms": "p99_ms"}.items():
        if direct and direct[figure] is not None and row[figure] is not None:
            row[added] = round(row[figure] - direct[figure], 3)


def event_us(rows: Sequence[Row], name: str) -> float | None:
    """Microseconds of core that an event of a stream costs, from streams of two lengths."""
    found = [find(rows, name, mode) for mode in ("stream", "long")]
    known = [row["processor_ms"] for row in found if row and row["processor_ms"] is not None]
    return (known[1] - known[0]) * 1000 / (LONG_EVENTS - EVENTS) if len(known) == 2 else None


def books_event_us(rows: Sequence[Row], name: str) -> float | None:
    """What of it is accounting's."""
    on, off = event_us(rows, name), event_us(rows, "off")
    return on - off if on is not None and off is not None else None


def is_quiet(rows: Iterable[Row], *, connections: int) -> bool | None:
    """Whether the bare relay had its core to itself: it has work all the time. None where that cannot be told."""
    known = [
        row["busy"]
        for row in rows
        if row["name"] == "bare" and row["connections"] == connections and row.get("busy") is not None
    ]
    return min(known) >= QUIET if known else None


def _likeness(row: Row) -> tuple[str, int, str]:
    return row["mode"], row["connections"], row["pair"]


def targets(rows: Sequence[Row], *, connections: int) -> list[Target]:
    """The project's own targets for Weir. An invalid figure reaches none.

    On a machine that was not quiet everybody waits for the same core, and calls a second say nothing about Weir: then
    its own processor time is what is judged.
    """
    everything, rows = rows, [row for row in rows if row["pair"] == HEADLINE]
    quiet = is_quiet(rows, connections=connections) is not False
    ratio, by = ("ratio_to_bare", "") if quiet else ("core_ratio_to_bare", ", by core time")
    calls, streams = (find(rows, "weir", mode, connections) for mode in ("call", "stream"))
    replicated = find(rows, "weir-pg", "call", connections)
    alone, with_services = (find(rows, name, "call", 1) for name in BOOKED)
    idle = find(rows, "weir", "idle")
    relayed = _relayed(everything, ratio, connections=connections)
    translated = _translated(everything, connections=connections)
    many = [row for row in rows if row["connections"] == connections]
    hits = find(rows, "cached", "call", connections)
    if hits is not None and calls is not None:
        hits = hits | _ratios(hits, calls)
    return [
        _target(f"at least 60 % of the bare relay's calls/s{by}", calls, ratio, least=0.60, unit="%"),
        _target(f"the same with PostgreSQL and Redis: at least 50 %{by}", replicated, ratio, least=0.50, unit="%"),
        _target(f"at least 75 % of the bare relay's streams/s{by}", relayed, ratio, least=0.75, unit="%"),
        _target(f"translated streams: at least 45 %{by}", translated, ratio, least=0.45, unit="%"),
        _target(PACED_WORDS, _latest(everything), "added_p99_ms", most=10, unit="ms"),
        _target("accounting: at most 0.3 ms at the median of a call", alone, "books_p50_ms", most=0.3, unit="ms"),
        _target("the same with PostgreSQL and Redis: at most 1 ms", with_services, "books_p50_ms", most=1, unit="ms"),
        _event_target("accounting: nothing an event of a stream", books_event_us(many, "weir"), streams),
        _target(f"kept answers: at least 150 % of the calls/s without{by}", hits, ratio, least=1.50, unit="%"),
        _target("at most 160 MB resident after the run", calls, "rss_mb", most=160, unit="MB"),
        _target("at most 40 KB for an idle stream", idle, "kb_per_stream", most=40, unit="KB"),
    ]


def _relayed(rows: Sequence[Row], ratio: str, *, connections: int) -> Row | None:
    """Of the dialects whose streams are relayed the one that keeps least of the bare relay's."""
    found = [
        row
        for row in rows
        if (row["name"], row["mode"], row["connections"]) == ("weir", "stream", connections)
        and not is_translated(row)
        and row.get(ratio) is not None
    ]
    return min(found, key=lambda row: float(row[ratio]), default=None)


def _translated(rows: Sequence[Row], *, connections: int) -> Row | None:
    """The slowest translation of streams, compared with the bare relay's, which translates nothing."""
    bare = next(
        (row for row in rows if (row["name"], row["mode"], row["connections"]) == ("bare", "stream", connections)), None
    )
    found = [
        row
        for row in rows
        if (row["name"], row["mode"], row["connections"]) == ("weir", "stream", connections) and is_translated(row)
    ]
    slowest = min(found, key=lambda row: row["rps"] or 0, default=None)
    return slowest if slowest is None or bare is None else slowest | _ratios(slowest, bare)


def is_translated(row: Row) -> bool:
    client, _, upstream = row["pair"].partition("→")
    return bool(client != upstream)


def _latest(rows: Sequence[Row]) -> Row | None:
    """Of the pairs of dialects the one whose events come latest."""
    found = [row for row in rows if (row["name"], row["mode"]) == ("weir", "paced") and "added_p99_ms" in row]
    return max(found, key=lambda row: float(row["added_p99_ms"]), default=None)


def _event_target(words: str, value: float | None, row: Row | None) -> Target:
    """Nothing, as far as the difference of four medians can tell."""
    reached = None if value is None or row is None else bool(row["valid"]) and value <= UNNOTICED_US
    return Target(words, value=value, reached=reached, unit="µs")


def _target(
    words: str, row: Row | None, name: str, *, unit: str, least: float = -math.inf, most: float = math.inf
) -> Target:
    value = row.get(name) if row else None
    if value is None or row is None:
        return Target(words, value=None, reached=None, unit=unit)
    return Target(words, value=value, reached=bool(row["valid"]) and least <= value <= most, unit=unit)
