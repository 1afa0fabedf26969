"""What an attempt is booked at."""

from __future__ import annotations

import pytest

from apps.domain import settlement
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage

CARD = PriceCard(
    version=7,
    effective_from=0,
    input=3_000_000_000,
    output=15_000_000_000,
    cache_read=300_000_000,
    cache_write_5m=3_750_000_000,
    cache_write_1h=6_000_000_000,
)
KNOWN = {
    "sent": True,
    "upstream_status": 200,
    "declined": False,
    "unseen": False,
    "started": True,
    "finished": True,
    "reported": TokenUsage(in_fresh=10, out_total=20),
    "prompt_bytes": 400,
    "output_bytes": 80,
    "card": CARD,
    "reserved": 1_000_000_000,
}


def judge(**changes):
    return settlement.judge(**{**KNOWN, **changes})


def test_a_finished_answer_is_booked_at_the_providers_own_totals():
    verdict = judge()
    assert (verdict.state, verdict.source) == ("settled", "provider")
    assert verdict.cost == verdict.low == verdict.high == 10 * 3_000 + 20 * 15_000


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
def test_an_answer_that_is_no_200_costs_nothing(status):
    assert judge(upstream_status=status, started=False, finished=False, reported=None) == settlement.VOID


def test_an_error_in_the_place_of_an_answer_costs_nothing_and_behind_its_beginning_what_came():
    silent = {"declined": True, "finished": False, "output_bytes": 0}
    assert judge(**silent, started=False, reported=None) == settlement.VOID
    assert judge(**silent, started=True, reported=TokenUsage(in_fresh=50)).cost == 50 * 3_000


def test_what_was_never_sent_costs_nothing():
    assert judge(sent=False, upstream_status=None) == settlement.VOID


def test_what_most_likely_came_to_nobody_is_guessed_to_cost_nothing_and_held_to_its_most():
    verdict = judge(upstream_status=None, unseen=True, started=False, finished=False, reported=None)
    assert (verdict.state, verdict.cost, verdict.low, verdict.high) == ("unconfirmed", 0, 0, 1_000_000_000)


def test_silence_after_sending_keeps_the_whole_reservation_until_it_is_known():
    verdict = judge(upstream_status=None, started=False, finished=False, reported=None)
    assert verdict.state == "unconfirmed"
    assert (verdict.low, verdict.cost, verdict.high) == (0, 100 * 3_000, KNOWN["reserved"])


def test_a_stream_cut_short_is_estimated_from_what_came():
    verdict = judge(finished=False, reported=TokenUsage(in_fresh=50, out_total=1))
    assert (verdict.state, verdict.source) == ("settled", "estimated")
    assert verdict.usage.in_fresh == 50
    assert verdict.usage.out_total == 20  # 80 bytes at four a token


def test_an_answer_without_usage_is_estimated_on_both_sides():
    verdict = judge(reported=None)
    assert verdict.source == "estimated"
    assert verdict.usage.in_fresh > 0
    assert verdict.usage.out_total == 20


@pytest.mark.parametrize("absurd", [TokenUsage(in_fresh=-1), TokenUsage(out_total=10**18)])
def test_absurd_usage_is_not_believed(absurd):
    verdict = judge(reported=absurd)
    assert verdict.source == "estimated"
    assert 0 < verdict.usage.total < 1000


def test_a_deployment_without_a_price_costs_nothing_but_keeps_its_counters():
    verdict = judge(card=None)
    assert verdict.cost == 0
    assert verdict.usage.total == 30
