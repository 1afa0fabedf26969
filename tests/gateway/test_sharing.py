"""Two replicas over a real Valkey: what one finds, the other heeds; and each goes on alone without it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from django.db import connections
from django.utils import timezone

from apps.catalog import breakers
from apps.domain import errors
from apps.domain.routing.plan import Try
from apps.domain.snapshot import Breaker, Credential, Deployment, Provider, Secret
from apps.events.models import Event, Sink
from apps.gateway import sharing
from apps.gateway.cooling import Cooling
from apps.gateway.kept import Shared
from apps.gateway.standing import Standing
from apps.runtime import standings
from tests import factories, services

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("own_valkey")]


@pytest.fixture(scope="module")
def valkey() -> Iterator[services.Service]:
    with services.valkey() as service:
        yield service


@pytest.fixture
def own_valkey(valkey, settings, monkeypatch) -> services.Service:
    """Empty, and asked a little more often than it is in life."""
    from redis import Redis

    Redis.from_url(valkey.url).flushall()
    settings.REDIS_URL = valkey.url
    monkeypatch.setattr(sharing, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(sharing, "LONGEST_PAUSE_SECONDS", 0.1)
    return valkey


def deployment(*, version: float = 0.0, open_seconds: float = 0.6) -> Deployment:
    breaker = Breaker(window="count", size=4, minimum_calls=4, open_seconds=open_seconds, half_open_calls=5)
    provider = Provider(id=1, name="p", vendor="simulated", protocol="openai_chat", base_url="https://h", host="h")
    return Deployment(id=7, provider=provider, upstream_model="m", breaker=breaker, version=version)


@contextlib.asynccontextmanager
async def replicas(count: int = 2) -> AsyncIterator[list[Standing]]:
    found = [Standing(replica=f"replica-{number}", cooling=Cooling()) for number in range(count)]
    for one in found:
        one.start()
    try:
        yield found
    finally:
        await asyncio.gather(*(one.close() for one in found))


async def until(look) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline, "never came true"
        await asyncio.sleep(0.005)


def fail(one: Standing, where: Deployment, times: int = 4) -> None:
    for _ in range(times):
        one.breakers.failed(one.breakers.take(where))


def test_what_one_opens_the_other_leaves_alone_though_it_has_never_asked():
    async def play() -> None:
        async with replicas() as (here, there):
            asked = deployment(open_seconds=60)
            fail(here, asked)
            await until(lambda: there.open_for(deployment(open_seconds=60)))
            assert 50 < there.open_for(asked) <= 60
            assert there.breakers.of(asked).breaker.reason == "4 of 4 calls failed"

    asyncio.run(play())


def test_replicas_make_one_half_open_round_between_them_and_heed_its_verdict():
    async def play() -> None:
        async with replicas() as both:
            asked = deployment()
            await until(lambda: [one.breakers.of(asked).breaker.round_size for one in both] == [3, 2])
            fail(both[0], asked)
            await until(lambda: both[1].open_for(asked))
            await until(lambda: not any(one.open_for(asked) for one in both))
            turns = [[turn for _ in range(9) if (turn := one.breakers.take(asked))] for one in both]
            assert [len(taken) for taken in turns] == [3, 2]
            for turn in turns[1]:
                both[1].breakers.answered(turn, first_token=None)
            await until(lambda: all(one.breakers.of(asked).breaker.phase == "closed" for one in both))

    asyncio.run(play())


def test_what_was_learned_of_a_deployment_that_was_changed_or_reset_says_nothing_of_it_now():
    async def play() -> None:
        async with replicas() as (here, there):
            fail(here, deployment(open_seconds=60))
            await until(lambda: there.open_for(deployment(open_seconds=60)))
            assert not there.open_for(deployment(open_seconds=60, version=1.0))
            assert not here.open_for(deployment(open_seconds=60, version=1.0))

    asyncio.run(play())


def test_a_credential_that_one_replica_sets_aside_rests_in_the_other_and_comes_back_with_it():
    async def play() -> None:
        async with replicas() as (here, there):
            where = deployment()
            credential = Credential(id=3, alias="main", secret=Secret("hidden-key", host="h"), version=5.0)
            candidate, now = Try(where, credential, None), time.monotonic()
            refused = errors.UpstreamAuth("no", upstream_status=401)
            here._cooling.refused(candidate, refused, asked_at=now)
            await until(lambda: there.rests(where, credential))
            assert there._cooling.resting([candidate])[0].startswith("credential main: 401")
            another = Credential(id=3, alias="main", secret=Secret("other-key", host="h"), version=6.0)
            assert not there.rests(where, another)
            here._cooling.refused(candidate, refused, asked_at=now + 1)
            await until(lambda: there.rests(where, credential))
            here._cooling.succeeded(candidate, asked_at=time.monotonic() + 1)
            await until(lambda: not there.rests(where, credential))

    asyncio.run(play())


@pytest.mark.parametrize("kind", ["sharing", "kept"])
def test_the_end_of_a_process_never_waits_for_a_client_that_has_swallowed_its_cancel(own_valkey, kind):
    """Whenever it comes: Python 3.11's `wait_for`, which the client uses, can return in spite of it."""

    async def begin_and_end(turns: int) -> None:
        one = Standing(replica=f"replica-{turns}") if kind == "sharing" else Shared(own_valkey.url, secret="s", most=9)
        one.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await one.close()

    async def play() -> None:
        async with asyncio.timeout(20):
            for _ in range(5):
                await asyncio.gather(*(begin_and_end(turns) for turns in range(40)))

    asyncio.run(play())


def test_without_redis_each_goes_on_alone_and_says_again_what_holds_when_it_is_back(own_valkey):
    async def play() -> None:
        async with replicas() as both:
            asked = deployment(open_seconds=60)
            await until(lambda: all(one.breakers.of(asked).breaker.round_size < 5 for one in both))
            own_valkey.server.end(signal.SIGKILL)
            await until(lambda: all(one.breakers.of(asked).breaker.round_size == 5 for one in both))
            began = time.perf_counter()
            fail(both[0], asked)
            assert time.perf_counter() - began < 1, "a call waited for Redis"
            assert both[0].open_for(asked)
            assert not both[1].open_for(asked)
            own_valkey.server.start()
            await until(lambda: both[1].open_for(asked))

    asyncio.run(play())


@pytest.mark.django_db(transaction=True)
def test_other_systems_are_told_once_of_what_every_replica_has_found():
    Sink.objects.create(name="All", kind="file", target="all")
    row = factories.deployment()
    asked = msgspec.structs.replace(deployment(open_seconds=60), id=row.pk)

    def tell(phase: str) -> bool:
        """Whether it is in that phase by the word of all; then whoever wants to know is told."""
        try:
            found = standings.by_deployment().get(row.pk)
            is_so = found is not None and found.breaker == phase
            return is_so and breakers.tell(timezone.now()) >= 0
        finally:
            connections.close_all()

    async def told(phase: str) -> None:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(tell, phase):
                await asyncio.sleep(0.005)
        await asyncio.gather(*(asyncio.to_thread(tell, phase) for _ in range(3)))

    async def play() -> None:
        async with replicas() as both:
            for one in both:
                fail(one, asked)
            await told("open")
            mended = msgspec.structs.replace(asked, version=1.0)
            for one in both:
                one.breakers.answered(one.breakers.take(mended), first_token=None)
            await told("closed")

    asyncio.run(play())
    said = list(Event.objects.order_by("pk").values_list("data", flat=True))
    assert [(data["breaker"], data["deployment"]["id"]) for data in said] == [("open", row.pk), ("closed", row.pk)]
