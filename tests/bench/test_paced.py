"""Streams at the pace of life, straight from the simulated provider; and what is judged by them."""

from __future__ import annotations

from urllib.parse import urlsplit

from benchmarks import figures, wire
from benchmarks.figures import Cell, Sample
from benchmarks.paced import paced
from tests.servers import start_simulator


async def test_every_event_of_every_stream_is_timed(tmp_path):
    provider = start_simulator(tmp_path, "--fast")
    try:
        dialect, model = wire.PACED_PAIRS["anthropic→anthropic"]
        call = wire.call(dialect, "paced", model=model, key="any")
        port = urlsplit(provider.base_url).port
        result = await paced(call, host="127.0.0.1", port=port or 0, streams=3, patience=30)
    finally:
        provider.stop()
    assert not result.errors
    assert 0 < len(result.latencies) < 3 * 150  # those of the first second are left out
    assert all(late >= 0 for late in result.latencies)


def test_the_worst_relayed_dialect_and_translation_are_held_to_the_bare_relay_and_lateness_to_the_provider():
    def row(name, mode, pair, *, rate, late):
        return figures.row(Cell(name, mode, 32, pair), [Sample(rate, [late])], rss_mb=100.0)

    rows = [
        row("bare", "stream", "anthropic→anthropic", rate=1000.0, late=1.0),
        row("weir", "stream", "anthropic→anthropic", rate=800.0, late=1.0),
        row("weir", "stream", "anthropic→openai", rate=440.0, late=1.0),
        row("bare", "stream", "openai→openai", rate=2000.0, late=1.0),
        row("weir", "stream", "openai→openai", rate=1400.0, late=1.0),
        row("direct", "paced", "anthropic→anthropic", rate=1.0, late=2.0),
        row("weir", "paced", "anthropic→anthropic", rate=1.0, late=5.0),
        row("weir", "paced", "anthropic→openai", rate=1.0, late=12.5),
    ]
    figures.compare(rows)
    found = {target.words: (target.value, target.reached) for target in figures.targets(rows, connections=32)}
    assert found["at least 75 % of the bare relay's streams/s"] == (0.7, False)
    assert found["translated streams: at least 45 %"] == (0.44, False)
    assert found[figures.PACED_WORDS] == (10.5, False)
