"""One suite for all limiters: in process, and on real servers of every version that is here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from apps.quotas.counters import Limiter
from apps.quotas.local_counters import LocalLimiter
from apps.quotas.redis_counters import RedisLimiter
from tests import services
from tests.money.counters import PATIENT, admitted_eventually, count, limit

pytestmark = pytest.mark.once  # has servers of its own


@pytest.fixture(params=["in process", *services.counter_servers()])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    if request.param == "in process":
        yield LocalLimiter()
        return
    found = RedisLimiter(request.getfixturevalue("counter_urls")[request.param], deadline=PATIENT)
    yield found
    await found.close()


async def test_fifty_at_once_on_a_hundred_tokens_of_five_admit_exactly_twenty(limiter):
    assert await count(limiter, limit(tokens_per_minute=100), times=50, tokens=5) == 20


async def test_requests_tokens_and_places_are_taken_together_or_not_at_all(limiter):
    roomy = limit(requests_per_minute=100, tokens_per_minute=1_000, concurrency=30)
    tight = limit(requests_per_minute=7)
    assert await count(limiter, roomy, tight, times=40, tokens=10) == 7
    assert await count(limiter, roomy, times=60, tokens=10) == 23
    decision = await limiter.acquire([roomy], tokens=10)
    assert (decision.kind, decision.limit) == ("concurrency", roomy)


async def test_what_refuses_longest_is_named_with_its_wait(limiter):
    once, often = limit(requests_per_minute=1), limit(requests_per_minute=60)
    assert (await limiter.acquire([often, once], tokens=0)).allowed
    assert await count(limiter, often, times=59) == 59
    refusal = await limiter.acquire([often, once], tokens=0)
    assert (refusal.allowed, refusal.limit, refusal.kind) == (False, once, "requests")
    assert 50 < refusal.retry_after <= 60


async def test_allowance_comes_back_with_time(limiter):
    quick = limit(requests_per_minute=600)
    assert await count(limiter, quick, times=700) >= 600
    refusal = await limiter.acquire([quick], tokens=0)
    assert refusal.allowed or 0 < refusal.retry_after <= 0.1
    deadline = time.monotonic() + 10
    while not (await limiter.acquire([quick], tokens=0)).allowed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_place_is_free_when_its_call_has_ended(limiter):
    one = limit(concurrency=1)
    first = await limiter.acquire([one], tokens=0)
    assert not (await limiter.acquire([one], tokens=0)).allowed
    limiter.release(first)
    limiter.release(first)
    assert await admitted_eventually(limiter, one)
    assert not (await limiter.acquire([one], tokens=0)).allowed


async def test_unused_tokens_come_back_and_excess_is_charged(limiter):
    budget = limit(tokens_per_minute=1_000)
    limiter.release(await limiter.acquire([budget], tokens=1_000), tokens_used=300)
    assert await admitted_eventually(limiter, budget, tokens=650)
    decision = await limiter.acquire([budget], tokens=50)
    assert decision.allowed
    limiter.release(decision, tokens_used=1_050)
    await asyncio.sleep(0.05)
    refusal = await limiter.acquire([budget], tokens=1)
    assert refusal.kind == "tokens"
    assert 50 < refusal.retry_after < 61


async def test_headers_tell_the_tightest(limiter):
    wide = limit(requests_per_minute=1_000, tokens_per_minute=500)
    narrow = limit(requests_per_minute=10, tokens_per_minute=90_000)
    decision = await limiter.acquire([wide, narrow], tokens=100)
    assert (decision.requests.limit, decision.requests.remaining) == (10, 9)
    assert (decision.tokens.limit, decision.tokens.remaining) == (500, 400)
    assert decision.requests.reset == pytest.approx(6.0, abs=0.5)
    assert decision.tokens.reset == pytest.approx(12.0, abs=0.5)


async def test_a_call_larger_than_a_minute_waits_for_an_empty_bucket(limiter):
    small = limit(tokens_per_minute=100)
    assert (await limiter.acquire([small], tokens=5_000)).allowed
    assert (await limiter.acquire([small], tokens=1)).kind == "tokens"


async def test_large_limits_stay_exact(limiter):
    huge = limit(requests_per_minute=1_000_000, tokens_per_minute=40_000_000)
    decision = await limiter.acquire([huge], tokens=1_234_567)
    assert decision.tokens.remaining == pytest.approx(40_000_000 - 1_234_567, abs=100_000)


async def test_what_is_given_back_between_calls_admits_exactly_as_many_more(limiter):
    bucket = limit(tokens_per_minute=100, concurrency=50)
    held = [await limiter.acquire([bucket], tokens=5) for _ in range(20)]
    assert all(decision.allowed for decision in held)
    for decision in held[:10]:
        limiter.release(decision, tokens_used=0)
        assert await count(limiter, bucket, times=3, tokens=5) == 1


async def test_giving_back_twice_gives_back_once(limiter):
    bucket = limit(tokens_per_minute=100)
    held = [await limiter.acquire([bucket], tokens=5) for _ in range(20)]
    for _ in range(3):
        limiter.release(held[0], tokens_used=0)
    assert await count(limiter, bucket, times=10, tokens=5) == 1


async def test_a_refused_call_takes_nothing_from_any_limit(limiter):
    open_one, shut = limit(requests_per_minute=5, tokens_per_minute=50, concurrency=5), limit(concurrency=1)
    assert (await limiter.acquire([shut], tokens=0)).allowed
    assert await count(limiter, open_one, shut, times=20, tokens=10) == 0
    assert await count(limiter, open_one, times=20, tokens=10) == 5


async def test_whoever_looks_at_what_is_left_takes_nothing(limiter):
    tight, unused = limit(requests_per_minute=60, tokens_per_minute=6_000, concurrency=3), limit(concurrency=2)
    held = await limiter.acquire([tight], tokens=600)
    for _ in range(5):
        found = await limiter.stands([tight, unused])
        assert found is not None
        busy, idle = found
        left = (busy.requests, busy.places, idle.requests, idle.tokens, idle.places)
        assert [one.remaining if one is not None else None for one in left] == [59, 2, None, None, 2]
        assert busy.tokens is not None
        assert 5_400 <= busy.tokens.remaining <= 5_500
    limiter.release(held)
