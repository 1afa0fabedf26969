"""What one step of a call costs by itself, in this process and on its core: medians, without a network.

A row is a function that prepares what it needs and returns what is to be timed; `ROWS` says of each how long it may
take. They run before the servers start.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS
from benchmarks import routing

REPEATS = 60
WARM = 5

Step = Callable[[], object]


class Row(NamedTuple):
    """`most` in microseconds; None: it is only told."""

    name: str
    prepare: Callable[[], Step]
    most: float | None


class Figure(NamedTuple):
    """Microseconds. `spread`: the 95th percentile."""

    name: str
    median: float
    spread: float
    most: float | None


def measure(rows: tuple[Row, ...] | None = None) -> list[Figure]:
    return [_figure(row) for row in (ROWS if rows is None else rows)]


def _figure(row: Row) -> Figure:
    step = row.prepare()
    times = []
    for _ in range(WARM + REPEATS):
        began = time.perf_counter_ns()
        step()
        times.append((time.perf_counter_ns() - began) / 1000)
    times = times[WARM:]
    return Figure(row.name, statistics.median(times), statistics.quantiles(times, n=20)[-1], row.most)


# --- guardrails ------------------------------------------------------------------------------------------------------

_REQUEST_BYTES = 50_000
_PROSE = (
    "The quick brown fox, in 2024, was reading section 12.4 of the manual; see https://example.com/a/b?x=12 for more.\n"
)
_CODE = "def handler(event, index=0):\n    return event[index] % 100  # see issue #1234, line 56\n"
_LOG = "2024-01-15 10:23:45.123456 INFO svc[12345] 550e8400-e29b-41d4-a716-446655440000 took 12.5 ms\n"


def _scanning(line: str, *, ending: str = "") -> Step:
    """A conversation of twenty turns, each of the same text."""
    text = line * (_REQUEST_BYTES // 20 // len(line))
    turns = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn in range(20)]
    turns.append({"role": "user", "content": ending})
    body = json.dumps({"model": "claude", "max_tokens": 1000, "messages": turns}).encode()
    return lambda: reading.count(body, KINDS)


ROWS = (
    Row("guardrails, 50 KB of prose", lambda: _scanning(_PROSE), 1000),
    Row("guardrails, 50 KB of code", lambda: _scanning(_CODE), 1000),
    Row("guardrails, 50 KB of prose and a card", lambda: _scanning(_PROSE, ending="4111 1111 1111 1111"), 1000),
    Row("guardrails, 50 KB of log lines", lambda: _scanning(_LOG), None),
    *(Row(*step) for step in routing.STEPS),
)


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name}: {figure.median:.0f} µs, of twenty all but one {figure.spread:.0f} µs")
