"""What only shared counters have: other processes, and a server that may be slow, away, empty or another one."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Iterator

import pytest
import redis.asyncio

from apps.domain import errors
from apps.quotas import redis_counters, redis_line, replicas
from apps.quotas.redis_counters import RedisLimiter
from apps.status import process
from tests import services
from tests.faults.proxy import Proxy
from tests.money.counters import PATIENT, admitted_eventually, count, limit, well

pytestmark = pytest.mark.redis  # servers of its own, so one pass suffices


@pytest.fixture(params=services.counter_servers())
def server(request: pytest.FixtureRequest, counter_urls: dict[str, str]) -> str:
    return counter_urls[request.param]


@pytest.fixture(params=services.counter_servers())
def own_server(request: pytest.FixtureRequest) -> Iterator[services.Service]:
    """One that the test may stop. It does not wait five seconds for more replicas when it has one."""
    program = services.counter_servers()[request.param]
    with services.valkey(program, "--repl-diskless-sync-delay", "0") as service:
        yield service


@pytest.fixture
def any_server(counter_urls: dict[str, str]) -> str:
    """Where the version does not matter."""
    return next(iter(counter_urls.values()))


@pytest.fixture
def proxy(any_server: str) -> Iterator[Proxy]:
    found = Proxy(any_server)
    yield found
    found.close()


async def test_two_processes_share_their_counters(server):
    one, other = RedisLimiter(server, deadline=PATIENT), RedisLimiter(server, deadline=PATIENT)
    rule = limit(requests_per_minute=10)
    assert await count(one, rule, times=6) + await count(other, rule, times=6) == 10
    await one.close()
    await other.close()


async def test_the_scripts_are_loaded_again_when_the_server_has_forgotten_them(server):
    limiter = RedisLimiter(server, deadline=PATIENT)
    rule = limit(requests_per_minute=10)
    assert await count(limiter, rule, times=4) == 4
    async with redis.asyncio.Redis.from_url(server) as client:
        await client.script_flush()
    decisions = [await limiter.acquire([rule], tokens=0) for _ in range(8)]
    assert [decision.allowed for decision in decisions] == [True] * 6 + [False] * 2
    assert not any(decision.local for decision in decisions)
    await limiter.close()


async def test_the_places_of_a_process_that_died_are_free_when_their_time_is_up(server, monkeypatch):
    monkeypatch.setattr(redis_counters, "PLACE_SECONDS", 1.0)
    dead, living = RedisLimiter(server, deadline=PATIENT), RedisLimiter(server, deadline=PATIENT)
    rule = limit(concurrency=1)
    for limiter in (dead, living):  # connected, so that the second is there before the time is up
        await limiter.start()
        await well(limiter)
    assert (await dead.acquire([rule], tokens=0)).allowed
    await dead.close()
    assert not (await living.acquire([rule], tokens=0)).allowed
    assert await admitted_eventually(living, rule)
    await living.close()


async def test_the_places_of_long_calls_are_kept(server, monkeypatch):
    monkeypatch.setattr(redis_counters, "PLACE_SECONDS", 0.6)
    monkeypatch.setattr(redis_counters, "RENEW_SECONDS", 0.1)
    limiter = RedisLimiter(server, deadline=PATIENT)
    rule = limit(concurrency=1)
    assert (await limiter.acquire([rule], tokens=0)).allowed
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        assert not (await limiter.acquire([rule], tokens=0)).allowed
        await asyncio.sleep(0.05)
    await limiter.close()


async def test_a_call_that_is_cancelled_while_it_waits_keeps_no_place(any_server):
    limiter = RedisLimiter(any_server, deadline=PATIENT)
    rule = limit(concurrency=1)
    await limiter.start()
    task = asyncio.create_task(limiter.acquire([rule], tokens=0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await admitted_eventually(limiter, rule)
    await limiter.close()


# --- a server in trouble ------------------------------------------------------------------------------------------


async def test_a_server_that_restarts_empty_lets_pass_one_burst_too_many_at_most(own_server):
    limiter = RedisLimiter(own_server.url, deadline=PATIENT)
    rule, places = limit(requests_per_minute=20), limit(concurrency=3)
    assert await count(limiter, places, times=5) == 3
    assert await count(limiter, rule, times=30) == 20
    own_server.server.end(signal.SIGKILL)
    assert await count(limiter, rule, times=30) == 0  # decided here, where it is remembered how full it was
    own_server.server.start()
    await well(limiter)
    assert await count(limiter, rule, times=50) <= 21
    assert await count(limiter, places, times=5) == 0  # calls that still run have taken their places again
    await limiter.close()


async def test_a_failover_goes_on_where_the_replica_stands(own_server):
    program = services.counter_servers()[own_server.name]
    host, port = own_server.url.rpartition("/")[0].split("//")[1].split(":")
    with services.valkey(program, "--replicaof", host, port) as replica:
        proxy = Proxy(own_server.url)
        limiter = RedisLimiter(proxy.url, deadline=PATIENT)
        rule = limit(requests_per_minute=20)
        async with redis.asyncio.Redis.from_url(replica.url) as client:
            while (await client.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.02)
            assert await count(limiter, rule, times=15) == 15
            while not await client.hlen(f"weir:{{limits}}:{rule.key}"):
                await asyncio.sleep(0.02)
            proxy.target = ("127.0.0.1", int(replica.url.rpartition("/")[0].rpartition(":")[2]))
            proxy.reset()
            assert (await limiter.acquire([rule], tokens=0)).local  # a replica takes no writes
            await well(limiter, is_it=False)
            own_server.server.end(signal.SIGKILL)
            await client.replicaof("NO", "ONE")
        await well(limiter)
        assert await count(limiter, rule, times=30) <= 5  # of which one was decided here
        await limiter.close()
        proxy.close()


async def test_a_server_without_memory_counts_nothing_and_holds_nobody_up(any_server):
    with services.valkey(None, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as full:
        limiter = RedisLimiter(full.url, deadline=PATIENT)
        decisions = [await limiter.acquire([rule], tokens=0) for rule in [limit(requests_per_minute=2)] * 3]
        assert [(decision.allowed, decision.local) for decision in decisions] == [(True, True)] * 2 + [(False, True)]
        assert not limiter.is_well
        await limiter.close()


async def test_a_value_of_somebody_elses_is_the_trouble_of_its_limit_alone(any_server):
    limiter, broken, good = RedisLimiter(any_server, deadline=PATIENT), limit(concurrency=1), limit(concurrency=1)
    async with redis.asyncio.Redis.from_url(any_server) as client:
        await client.set(f"weir:{{limits}}:{broken.key}", "not a meter")
    assert (await limiter.acquire([broken], tokens=0)).local
    assert not (await limiter.acquire([good], tokens=0)).local
    await limiter.close()


async def test_a_server_that_is_slow_by_thirty_seconds_costs_one_deadline_and_then_nothing(proxy, monkeypatch):
    monkeypatch.setattr(replicas, "_live", 2)
    limiter = RedisLimiter(proxy.url)
    await limiter.start()
    await well(limiter)
    proxy.delay(30)
    rule = limit(requests_per_minute=20)
    started = time.monotonic()
    assert await count(limiter, rule, times=15) == 10  # half of the limit: there are two replicas
    assert time.monotonic() - started < 15  # of the thirty seconds; 60 ms where nothing else is to do
    took = []
    for _ in range(200):
        started = time.monotonic()
        decision = await limiter.acquire([rule], tokens=0)
        took.append(time.monotonic() - started)
        assert (decision.allowed, decision.local) == (False, True)
        await asyncio.sleep(0.005)  # through several probes
    assert statistics.median(took) < redis_line.DEADLINE_SECONDS  # or each would have waited as long
    proxy.heal()
    proxy.reset()
    await shared_again(limiter)
    await limiter.close()


async def shared_again(limiter: RedisLimiter) -> None:
    """Its deadline is the usual one, which a busy machine may miss more than once."""
    deadline = time.monotonic() + 20
    while (await limiter.acquire([limit(requests_per_minute=5)], tokens=0)).local:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("trouble", ["hold", "swallow", "reset", "refuse"])
async def test_after_any_trouble_of_the_network_limits_are_shared_again(proxy, trouble):
    limiter = RedisLimiter(proxy.url)
    await limiter.start()
    await well(limiter)
    getattr(proxy, trouble)()
    decisions = await asyncio.gather(*(limiter.acquire([limit(concurrency=1)], tokens=0) for _ in range(50)))
    assert all(decision.allowed and decision.local for decision in decisions)
    proxy.heal()
    await well(limiter)
    await limiter.close()


async def test_nobody_storms_a_server_that_comes_back(proxy, any_server):
    limiters = [RedisLimiter(proxy.url, deadline=PATIENT) for _ in range(5)]
    rule = limit(requests_per_minute=100_000)
    async with redis.asyncio.Redis.from_url(any_server) as client:
        for limiter in limiters:
            await limiter.start()
        proxy.refuse()
        for limiter in limiters:
            await count(limiter, rule, times=200)
            await well(limiter, is_it=False)
        before = (await client.info("stats"))["total_connections_received"]
        proxy.heal()
        for limiter in limiters:
            await well(limiter)
            await count(limiter, rule, times=200)
        assert (await client.info("stats"))["total_connections_received"] - before <= 2 * len(limiters)
    for limiter in limiters:
        await limiter.close()


async def test_a_call_that_ended_meanwhile_has_left_its_place_when_the_server_is_back(proxy):
    limiter = RedisLimiter(proxy.url, deadline=PATIENT)
    rule = limit(concurrency=2, tokens_per_minute=100)
    before = await limiter.acquire([rule], tokens=50)
    proxy.refuse()
    limiter.release(await limiter.acquire([rule], tokens=10))
    during = await limiter.acquire([rule], tokens=10)
    assert (before.local, during.allowed, during.local) == (False, True, True)
    limiter.release(before, tokens_used=10)
    proxy.heal()
    await well(limiter)
    assert await admitted_eventually(limiter, rule, tokens=85)  # what the first did not use has come back
    assert (await limiter.acquire([rule], tokens=0)).kind == "concurrency"  # the other still runs
    limiter.release(during)
    assert await admitted_eventually(limiter, rule)
    await limiter.close()


async def test_a_server_that_was_never_there_stops_nobody():
    limiter = RedisLimiter(f"redis://127.0.0.1:{services.free_port()}/0")
    rule = limit(requests_per_minute=3, concurrency=3)
    decisions = [await limiter.acquire([rule], tokens=0) for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    for decision in decisions:
        limiter.release(decision)
    await limiter.close()


async def test_a_tenant_says_what_it_gets_while_the_counters_are_away(any_server):
    limiter = RedisLimiter(f"redis://127.0.0.1:{services.free_port()}/0")
    rule = limit(requests_per_minute=1)
    for _ in range(3):
        decision = await limiter.acquire([rule], tokens=0, on_outage="open")
        assert (decision.allowed, decision.requests) == (True, None)
        limiter.release(decision)
        with pytest.raises(errors.Unavailable) as refused:
            await limiter.acquire([rule], tokens=0, on_outage="closed")
        assert (refused.value.code, refused.value.retry_after) == ("limits_unavailable", 1)
    assert [(await limiter.acquire([rule], tokens=0)).allowed for _ in range(2)] == [True, False]
    assert (await limiter.acquire([], tokens=0, on_outage="closed")).allowed
    await limiter.close()
    limiter = RedisLimiter(any_server, deadline=PATIENT)
    assert [(await limiter.acquire([rule], tokens=0, on_outage="open")).allowed for _ in range(2)] == [True, False]
    await limiter.close()


async def test_the_metrics_say_who_counts(proxy):
    limiter = RedisLimiter(proxy.url, deadline=PATIENT)
    await limiter.start()
    assert told("weir_limiter_shared") == 1
    before = told("weir_limiter_local_decisions_total")
    proxy.refuse()
    assert await count(limiter, limit(concurrency=9), times=7) == 7
    assert told("weir_limiter_shared") == 0
    assert told("weir_limiter_local_decisions_total") == before + 7
    await limiter.close()


def told(name: str) -> float:
    return next(sample.value for family in process.families() for sample in family.samples if sample.name == name)


def test_a_replica_s_part_is_never_nothing():
    rule = limit(requests_per_minute=10, concurrency=1)
    part = redis_counters.part_of(rule, 4)
    assert (part.requests_per_minute, part.tokens_per_minute, part.concurrency) == (2, None, 1)
    assert redis_counters.part_of(rule, 1) is rule
