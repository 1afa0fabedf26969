"""The arithmetic of the benchmark: percentiles, medians, ratios, targets."""

from __future__ import annotations

import collections

import pytest

from benchmarks import figures
from benchmarks.figures import Cell, Sample


def rows(busy: float = 0.95, **rates: float) -> list[figures.Row]:
    """One row a contender, for calls at 32 connections."""
    made = [
        figures.row(Cell(name, "call", 32), [Sample(rate, [1000 / rate], busy=busy)], rss_mb=100.0)
        for name, rate in rates.items()
    ]
    figures.compare(made)
    return made


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 0.5, 2.0),
        ([float(value) for value in range(1, 101)], 0.99, 99.0),
        ([float(value) for value in range(1, 102)], 0.99, 100.0),
    ],
)
def test_a_percentile_is_the_value_of_the_nearest_rank(values, share, expected):
    assert figures.percentile(values, share) == expected


def test_a_row_is_the_median_of_its_rounds():
    samples = [Sample(rate, [ms, ms], busy=0.5) for rate, ms in ((100.0, 9.0), (300.0, 1.0), (200.0, 2.0))]
    row = figures.row(Cell("weir", "call", 1), samples, rss_mb=120.0)
    assert (row["rps"], row["p50_ms"], row["rss_mb"], row["calls"]) == (200.0, 2.0, 120.0, 6)
    assert row["processor_ms"] == 2.5  # the median of 5, 1.667 and 2.5
    assert row["valid"]


def test_one_error_in_one_round_makes_the_row_invalid_and_is_told():
    good = Sample(100.0, [1.0])
    bad = Sample(100.0, [1.0], errors=collections.Counter({"status 503": 2}))
    row = figures.row(Cell("weir", "call", 1), [good, bad, good], rss_mb=None)
    assert not row["valid"]
    assert row["errors"] == {"status 503": 2}


def test_a_round_without_a_call_makes_the_row_invalid():
    assert not figures.row(Cell("weir", "call", 1), [Sample(9.0, [1.0]), Sample(0.0, [])], rss_mb=None)["valid"]


def test_ratios_are_taken_against_bare_and_latency_against_direct():
    direct, bare, weir = rows(direct=1000.0, bare=500.0, weir=400.0)
    assert weir["ratio_to_bare"] == 0.8
    assert weir["core_ratio_to_bare"] == 0.8
    assert weir["added_ms"] == 1.5
    assert bare["ratio_to_bare"] == 1.0
    assert "ratio_to_bare" not in direct


def test_ratios_are_medians_of_what_the_rounds_say():
    """The machine was half as fast in the second round, and Weir unlucky in the third."""
    bare, weir = (
        figures.row(Cell(name, "call", 32), [Sample(rate, [1.0], busy=0.9) for rate in rates], rss_mb=None)
        for name, rates in {"bare": (1000.0, 500.0, 1000.0), "weir": (800.0, 400.0, 300.0)}.items()
    )
    figures.compare([bare, weir])
    assert (weir["ratio_to_bare"], weir["core_ratio_to_bare"]) == (0.8, 0.8)
    assert (bare["rps"], weir["rps"]) == (1000.0, 400.0)


def test_only_like_is_compared_with_like():
    bare = figures.row(Cell("bare", "call", 1), [Sample(500.0, [1.0])], rss_mb=None)
    weir = figures.row(Cell("weir", "call", 32), [Sample(400.0, [1.0])], rss_mb=None)
    other = figures.row(Cell("bare", "call", 32, "openai→openai"), [Sample(500.0, [1.0])], rss_mb=None)
    figures.compare([bare, weir, other])
    assert "ratio_to_bare" not in weir


def test_a_target_is_reached_missed_or_not_measured():
    reached = {target.words: target.reached for target in figures.targets(rows(bare=500.0, weir=299.0), connections=32)}
    assert reached["at least 60 % of the bare relay's calls/s"] is False
    assert reached["at most 160 MB resident after the run"] is True
    assert reached["at most 40 KB for an idle stream"] is None
    enough = figures.targets(rows(bare=500.0, weir=300.0), connections=32)
    assert enough[0].reached is True


def test_kept_answers_are_compared_with_weir_where_nothing_is_kept():
    for rate, is_enough in ((740.0, False), (750.0, True)):
        found = figures.targets(rows(bare=900.0, weir=500.0, cached=rate), connections=32)
        (hits,) = [target for target in found if target.words.startswith("kept answers")]
        assert (hits.value, hits.reached) == (rate / 500.0, is_enough)


def test_on_a_machine_that_is_not_quiet_a_target_is_judged_by_core_time():
    bare, weir = rows(busy=0.3, bare=500.0, weir=500.0)
    weir["processor_ms_rounds"] = [4 * each for each in weir["processor_ms_rounds"]]
    figures.compare([bare, weir])
    found = figures.targets([bare, weir], connections=32)[0]
    assert found.words.endswith("by core time")
    assert (found.value, found.reached) == (0.25, False)


def test_an_invalid_figure_reaches_no_target():
    made = rows(bare=500.0, weir=450.0)
    made[1]["valid"] = False
    assert figures.targets(made, connections=32)[0].reached is False


def test_the_machine_is_quiet_when_the_bare_relay_has_its_core_to_itself():
    busy = figures.row(Cell("bare", "call", 32), [Sample(500.0, [1.0], busy=0.97)], rss_mb=None)
    robbed = figures.row(Cell("bare", "stream", 32), [Sample(500.0, [1.0], busy=0.4)], rss_mb=None)
    assert figures.is_quiet([busy], connections=32) is True
    assert figures.is_quiet([busy, robbed], connections=32) is False
    assert figures.is_quiet([], connections=32) is None


def test_what_accounting_costs_is_told_above_the_edition_that_keeps_no_books():
    weir, _ = rows(weir=500.0, off=1000.0)
    assert weir["books_p50_ms"] == 1.0
    assert weir["books_core_ms"] == pytest.approx(0.95)


def test_what_an_event_costs_shows_by_streams_of_two_lengths():
    made = [
        figures.row(Cell(name, mode, 32), [Sample(1000.0, [1.0], busy=busy)], rss_mb=None)
        for name, mode, busy in (
            ("weir", "stream", 0.5), ("weir", "long", 0.9), ("off", "stream", 0.4), ("off", "long", 0.7)
        )
    ]  # fmt: skip
    assert figures.event_us(made, "weir") == pytest.approx(2.0)
    assert figures.books_event_us(made, "weir") == pytest.approx(0.5)
    assert figures.books_event_us(made[:2], "weir") is None
