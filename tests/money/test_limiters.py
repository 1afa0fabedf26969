"""One suite for both limiters: in process, and on a real Valkey or Redis."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio
from django.conf import settings

from apps.domain.snapshot import Limit
from apps.quotas import redis_counters, replicas
from apps.quotas.counters import Limiter
from apps.quotas.local_counters import LocalLimiter
from apps.quotas.redis_counters import RedisLimiter
from tests import services

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The pass's own, or one started for this file."""
    if settings.REDIS_URL:
        yield settings.REDIS_URL
        return
    with services.valkey() as service:
        yield service.url


@pytest.fixture(params=["in process", "shared"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    if request.param == "in process":
        yield LocalLimiter()
        return
    found = RedisLimiter(request.getfixturevalue("server"), deadline=2.0)  # a busy machine is no broken server
    yield found
    await found.close()


def limit(**fields: int) -> Limit:
    """With counters of its own."""
    return Limit(id=1, key=f"test:{time.time_ns()}:{next(_numbers)}", scope="tenant", **fields)


async def count(limiter: Limiter, *limits: Limit, times: int, tokens: int = 0) -> int:
    decisions = await asyncio.gather(*(limiter.acquire(limits, tokens=tokens) for _ in range(times)))
    return sum(decision.allowed for decision in decisions)


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
    assert await _eventually(limiter, one)
    assert not (await limiter.acquire([one], tokens=0)).allowed


async def test_unused_tokens_come_back_and_excess_is_charged(limiter):
    budget = limit(tokens_per_minute=1_000)
    limiter.release(await limiter.acquire([budget], tokens=1_000), tokens_used=300)
    assert await _eventually(limiter, budget, tokens=650)
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


async def _eventually(limiter: Limiter, rule: Limit, tokens: int = 0) -> bool:
    """A release does not wait for its effect, so neither limiter promises one at once."""
    deadline = time.monotonic() + 10
    while not (await limiter.acquire([rule], tokens=tokens)).allowed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    return True


# --- what only shared counters have -------------------------------------------------------------------------------


async def test_two_processes_share_their_counters(server):
    one, other = RedisLimiter(server, deadline=2.0), RedisLimiter(server, deadline=2.0)
    rule = limit(requests_per_minute=10)
    assert await count(one, rule, times=6) + await count(other, rule, times=6) == 10
    await one.close()
    await other.close()


async def test_the_scripts_are_loaded_again_when_the_server_has_forgotten_them(server):
    limiter = RedisLimiter(server, deadline=2.0)
    rule = limit(requests_per_minute=10)
    assert await count(limiter, rule, times=4) == 4
    async with redis.asyncio.Redis.from_url(server) as client:
        await client.script_flush()
    decisions = [await limiter.acquire([rule], tokens=0) for _ in range(8)]
    assert [decision.allowed for decision in decisions] == [True] * 6 + [False] * 2
    assert not any(decision.local for decision in decisions)
    await limiter.close()


async def test_the_places_of_a_process_that_died_are_free_when_their_time_is_up(server, monkeypatch):
    monkeypatch.setattr(redis_counters, "PLACE_SECONDS", 0.3)
    dead, living = RedisLimiter(server, deadline=2.0), RedisLimiter(server, deadline=2.0)
    rule = limit(concurrency=1)
    assert (await dead.acquire([rule], tokens=0)).allowed
    await dead.close()
    assert not (await living.acquire([rule], tokens=0)).allowed
    assert await _eventually(living, rule)
    await living.close()


async def test_the_places_of_long_calls_are_kept(server, monkeypatch):
    monkeypatch.setattr(redis_counters, "PLACE_SECONDS", 0.6)
    monkeypatch.setattr(redis_counters, "RENEW_SECONDS", 0.1)
    limiter = RedisLimiter(server, deadline=2.0)
    rule = limit(concurrency=1)
    assert (await limiter.acquire([rule], tokens=0)).allowed
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        assert not (await limiter.acquire([rule], tokens=0)).allowed
        await asyncio.sleep(0.05)
    await limiter.close()


class Proxy:
    """Between the limiter and the server: passes bytes on, until it is told to hold them back."""

    def __init__(self, url: str) -> None:
        host, _, port = url.split("//")[1].split("/")[0].rpartition("@")[2].partition(":")
        self._target = (host, int(port))
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def hold(self) -> None:
        self._flows.clear()

    def pass_on(self) -> None:
        self._flows.set()

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            for source, sink in ((reader, there_writer), (there_reader, writer)):
                task = asyncio.create_task(self._pump(source, sink))
                self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65_536):
                await self._flows.wait()
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


async def test_a_server_that_does_not_answer_costs_one_deadline_and_then_nothing(server, monkeypatch):
    monkeypatch.setattr(replicas, "_live", 2)
    proxy = Proxy(server)
    limiter = RedisLimiter(await proxy.start())
    rule = limit(requests_per_minute=20)
    await limiter.acquire([rule], tokens=0)
    proxy.hold()
    started = time.monotonic()
    assert await count(limiter, rule, times=15) == 10  # half of the limit: there are two replicas
    assert time.monotonic() - started < 1.0
    started = time.monotonic()
    decision = await limiter.acquire([rule], tokens=0)
    assert time.monotonic() - started < 0.02
    assert (decision.allowed, decision.local) == (False, True)
    proxy.pass_on()
    deadline = time.monotonic() + 20
    while not limiter.is_well:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert not (await limiter.acquire([limit(requests_per_minute=5)], tokens=0)).local
    await limiter.close()
    await proxy.close()


async def test_a_server_that_was_never_there_stops_nobody():
    limiter = RedisLimiter(f"redis://127.0.0.1:{services.free_port()}/0")
    rule = limit(requests_per_minute=3, concurrency=3)
    decisions = [await limiter.acquire([rule], tokens=0) for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    for decision in decisions:
        limiter.release(decision)
    await limiter.close()


async def test_a_call_that_is_cancelled_while_it_waits_keeps_no_place(server):
    limiter = RedisLimiter(server, deadline=2.0)
    rule = limit(concurrency=1)
    await limiter.start()
    task = asyncio.create_task(limiter.acquire([rule], tokens=0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _eventually(limiter, rule)
    await limiter.close()


def test_a_replica_s_part_is_never_nothing():
    rule = limit(requests_per_minute=10, concurrency=1)
    part = redis_counters.part_of(rule, 4)
    assert (part.requests_per_minute, part.tokens_per_minute, part.concurrency) == (2, None, 1)
    assert redis_counters.part_of(rule, 1) is rule
