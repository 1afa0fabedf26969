"""Work and memory grow as the input does: nothing repeated costs more than its share."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import pytest

from apps.domain import eventstream, ndjson, sse
from apps.domain.guardrails.stream import Watch
from tests.fuzz import mutation
from tests.fuzz.contract import Target
from tests.fuzz.requests import KINDS
from tests.fuzz.targets import TARGETS

pytestmark = [pytest.mark.attack("fuzz", "F19"), pytest.mark.once]

SMALL, TIMES = 1_024, 8
MOST_SECONDS = 10.0  # of a processor, for 8 KiB, on whatever machine
MOST_BYTES = 64 << 20
TELLING = 0.005  # seconds: less than this is noise
PIECE, PIECES = b"data: a sixteen\n", 8_192
OPENINGS = (b"{", b"[", b'{"a":', b'"a",', b"\\", b"a", b"0", b" ", b".", b"a@")


def _watch() -> Watch:
    return Watch(KINDS, stopping=KINDS)


def _message() -> eventstream.Decoder:
    """In the middle of a long one."""
    decoder, lengths = eventstream.Decoder(), struct.pack(">II", 4 << 20, 0)
    assert not list(decoder.feed(lengths + struct.pack(">I", crc32(lengths))))
    return decoder


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


def _worst(target: Target) -> float:
    """How many times the work is that eight times the input costs, of all shapes. Of the dearest, also the memory."""
    worst, costly = 1.0, (0.0, b"")
    for head, part, tail in sorted(_shapes(target)):
        count = max(1, SMALL // len(part))
        small, large = head + part * count + tail, head + part * count * TIMES + tail
        seconds = _seconds(target, large)
        assert seconds < MOST_SECONDS, (target.name, part)
        costly = max(costly, (seconds, large))
        if seconds > TELLING:
            least = min(_seconds(target, small) for _ in range(2))
            worst = max(worst, min(seconds, _seconds(target, large)) / max(least, 1e-6))
    assert _peak(target, costly[1]) < MOST_BYTES, (target.name, costly[1][:100])
    return worst


def test_eight_times_the_input_is_not_much_more_than_eight_times_the_work(figure):
    found = {name: round(_worst(target), 1) for name, target in TARGETS.items()}
    print(found)
    figure("fuzz", f"work for {TIMES} times the input, at its worst", max(found.values()), "×", most=3.0 * TIMES)


def test_one_event_in_small_pieces_is_not_read_again_with_each_of_them(figure):
    found = {}
    for made in (sse.Decoder, sse.Splitter, ndjson.Decoder, _message, _watch):
        few, many = (min(_fed(made(), count) for _ in range(2)) for count in (PIECES, TIMES * PIECES))
        assert many < MOST_SECONDS, made
        found[made.__name__] = round(many / few, 1)
    print(found)
    figure("fuzz", f"work for {TIMES} times the pieces, at its worst", max(found.values()), "×", most=3.0 * TIMES)


def _fed(decoder: Any, count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        tuple(decoder.feed(PIECE))
    return time.thread_time() - began


def _peak(target: Target, data: bytes) -> int:
    tracemalloc.start()
    try:
        target.run(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
