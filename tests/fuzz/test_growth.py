"""Work and memory grow as the input does: nothing repeated costs more than its share."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.fuzz import mutation
from tests.fuzz.contract import Target
from tests.fuzz.targets import TARGETS

pytestmark = [pytest.mark.attack("fuzz", "F19"), pytest.mark.once]

SMALL, TIMES = 1_024, 8
MOST_SECONDS = 10.0  # of a processor, for 8 KiB, on whatever machine
MOST_BYTES = 64 << 20
TELLING = 0.005  # seconds: less than this is noise
OPENINGS = (b"{", b"[", b'{"a":', b'"a",', b"\\", b"a", b"0", b" ", b".", b"a@")


def _shapes(target: Target) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Head, what is repeated, and tail."""
    seed = target.seeds[0]
    head, tail = seed[: len(seed) // 2], seed[len(seed) // 2 :]
    for part in {*target.words, *mutation.NOISE, *OPENINGS}:
        yield b"", part, b""
        yield head, part, tail


def _seconds(target: Target, data: bytes) -> float:
    began = time.thread_time()
    target.run(data)
    return time.thread_time() - began


@pytest.mark.parametrize("name", TARGETS)
def test_eight_times_the_input_is_not_much_more_than_eight_times_the_work(name, figure):
    target, worst, costly = TARGETS[name], 1.0, (0.0, b"")
    for head, part, tail in sorted(_shapes(target)):
        count = max(1, SMALL // len(part))
        small, large = head + part * count + tail, head + part * count * TIMES + tail
        seconds = _seconds(target, large)
        assert seconds < MOST_SECONDS, part
        costly = max(costly, (seconds, large))
        if seconds > TELLING:
            least = min(_seconds(target, small) for _ in range(2))
            worst = max(worst, min(seconds, _seconds(target, large)) / max(least, 1e-6))
    figure("fuzz", f"work for {TIMES} times the input to {name}", round(worst, 1), "×", most=3.0 * TIMES)
    assert _peak(target, costly[1]) < MOST_BYTES


def _peak(target: Target, data: bytes) -> int:
    tracemalloc.start()
    try:
        target.run(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
