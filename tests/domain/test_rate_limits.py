"""The meters of one process. Time is a number that the tests move."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.limits.rate import MINUTE, RateTable
from apps.domain.snapshot import Limit

SECOND = 1_000_000


def limit(key: str = "a", **fields: int) -> Limit:
    return Limit(id=1, key=key, scope="tenant", **fields)


def admitted(table: RateTable, *limits: Limit, times: int, tokens: int = 0, now: int = 0) -> int:
    return sum(table.admit(limits, tokens=tokens, now=now).allowed for _ in range(times))


@pytest.mark.parametrize("per_minute", [1, 7, 60, 999, 1_000])
def test_a_minute_s_requests_pass_at_once_and_not_one_more(per_minute):
    assert admitted(RateTable(), limit(requests_per_minute=per_minute), times=per_minute + 5) == per_minute


def test_requests_come_back_evenly():
    table, sixty = RateTable(), limit(requests_per_minute=60)
    admitted(table, sixty, times=60)
    assert not table.admit([sixty], tokens=0, now=SECOND - 1).allowed
    assert admitted(table, sixty, times=5, now=SECOND) == 1
    assert admitted(table, sixty, times=20, now=11 * SECOND) == 10


def test_a_refusal_says_how_long_to_wait_and_waiting_so_long_helps():
    table, three = RateTable(), limit(requests_per_minute=3)
    admitted(table, three, times=3)
    refusal = table.admit([three], tokens=0, now=4 * SECOND)
    assert (refusal.allowed, refusal.kind, refusal.limit, refusal.retry_after) == (False, "requests", three, 16.0)
    assert table.admit([three], tokens=0, now=20 * SECOND).allowed


def test_a_refused_call_takes_nothing_from_any_limit():
    table = RateTable()
    wide, narrow = limit("wide", requests_per_minute=100, concurrency=50), limit("narrow", tokens_per_minute=10)
    assert admitted(table, wide, narrow, times=30, tokens=10) == 1
    assert admitted(table, wide, times=200) == 49


def test_the_limit_with_the_longest_wait_is_the_one_that_is_named():
    table = RateTable()
    slow, fast = limit("slow", requests_per_minute=1), limit("fast", requests_per_minute=60)
    assert table.admit([fast, slow], tokens=0, now=0).allowed
    admitted(table, fast, times=59)
    refusal = table.admit([fast, slow], tokens=0, now=0)
    assert (refusal.limit, refusal.retry_after) == (slow, 60.0)


def test_places_are_free_again_when_calls_end():
    table, two = RateTable(), limit(concurrency=2)
    first = table.admit([two], tokens=0, now=0)
    assert table.admit([two], tokens=0, now=0).allowed
    refusal = table.admit([two], tokens=0, now=0)
    assert (refusal.allowed, refusal.kind) == (False, "concurrency")
    table.release(first, tokens_used=0, now=1)
    assert admitted(table, two, times=3, now=1) == 1


def test_tokens_that_were_not_used_come_back():
    table, thousand = RateTable(), limit(tokens_per_minute=1_000)
    decision = table.admit([thousand], tokens=900, now=0)
    assert not table.admit([thousand], tokens=200, now=0).allowed
    table.release(decision, tokens_used=100, now=0)
    assert table.admit([thousand], tokens=900, now=0).allowed


def test_tokens_that_drained_meanwhile_are_not_given_back_a_second_time():
    table, sixty = RateTable(), limit(tokens_per_minute=60)
    long_call = table.admit([sixty], tokens=60, now=0)
    assert table.admit([sixty], tokens=60, now=MINUTE).allowed
    table.release(long_call, tokens_used=0, now=MINUTE)
    assert not table.admit([sixty], tokens=1, now=MINUTE).allowed


def test_tokens_beyond_the_estimate_are_charged_afterwards():
    table, sixty = RateTable(), limit(tokens_per_minute=60)
    table.release(table.admit([sixty], tokens=10, now=0), tokens_used=90, now=0)
    assert table.admit([sixty], tokens=1, now=0).retry_after == 31.0


def test_a_call_larger_than_a_minute_takes_the_whole_minute_instead_of_never_passing():
    table, sixty = RateTable(), limit(tokens_per_minute=60)
    assert table.admit([sixty], tokens=5_000, now=0).allowed
    assert table.admit([sixty], tokens=1, now=0).kind == "tokens"


def test_headers_tell_the_tightest_limit_of_each_kind():
    table = RateTable()
    narrow = limit("narrow", requests_per_minute=10, tokens_per_minute=10_000)
    wide = limit("wide", requests_per_minute=60, tokens_per_minute=1_000)
    decision = table.admit([narrow, wide], tokens=100, now=0)
    assert decision.requests is not None
    assert decision.tokens is not None
    assert (decision.requests.limit, decision.requests.remaining, decision.requests.reset) == (10, 9, 6.0)
    assert (decision.tokens.limit, decision.tokens.remaining, decision.tokens.reset) == (1_000, 900, 6.0)
    admitted(table, narrow, times=20)
    refusal = table.admit([narrow, wide], tokens=100, now=0)
    assert refusal.requests is not None
    assert refusal.requests.remaining == 0


def test_idle_meters_do_not_pile_up_and_busy_ones_stay():
    table = RateTable()
    busy = limit("busy", concurrency=1)
    table.admit([busy], tokens=0, now=0)
    for number in range(20_000):
        table.admit([limit(f"key {number}", requests_per_minute=60)], tokens=0, now=number * SECOND)
    assert len(table) < 10_000
    assert table.admit([busy], tokens=0, now=20_000 * SECOND).kind == "concurrency"


@given(
    per_minute=st.integers(1, 500),
    steps=st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(0, 300)), max_size=60),
)
def test_it_agrees_with_exact_arithmetic_but_for_a_microsecond_a_call(per_minute, steps):
    """The reference is a leaky bucket in fractions, given one microsecond's worth a call."""
    table, rule = RateTable(), limit(tokens_per_minute=per_minute)
    level, now = Fraction(0), 0
    drain = Fraction(per_minute, MINUTE)
    for calls, (pause, tokens) in enumerate(steps):
        now += pause
        level = max(Fraction(0), level - pause * drain)
        asked = min(tokens, per_minute)
        slack = (calls + 1) * drain
        allowed = table.admit([rule], tokens=tokens, now=now).allowed
        if level + asked <= per_minute:
            assert allowed
        if level + asked > per_minute + slack:
            assert not allowed
        if allowed:
            level += asked


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.booleans(), st.integers(0, 30)), max_size=30))
def test_a_refusal_in_between_changes_nothing_of_what_passes_later(steps):
    """Two tables see the same calls; one of them sees, before each, one that its last limit refuses."""
    first, last = limit("a", requests_per_minute=40, tokens_per_minute=90, concurrency=9), limit("b", concurrency=1)
    disturbed, left_alone = RateTable(), RateTable()
    assert disturbed.admit([last], tokens=0, now=0).allowed
    now = 0
    for later, is_refused, tokens in steps:
        now += later
        if is_refused:
            assert not disturbed.admit((first, last), tokens=tokens, now=now).allowed
        decisions = [table.admit((first,), tokens=tokens, now=now) for table in (disturbed, left_alone)]
        assert decisions[0] == decisions[1]
