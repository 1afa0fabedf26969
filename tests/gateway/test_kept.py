"""Kept answers: what a store holds and for how long, and who waits for whom."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import zlib

import pytest
import redis
from django.conf import settings

from apps.domain.tokens import TokenUsage
from apps.gateway import kept
from apps.gateway.kept import Local, Shared
from apps.gateway.shelf import Fate, Shelf
from apps.runtime import clock
from tests import services

MOST = 100_000
SAID = "Nobody else may read this. "
ORIGIN = kept.Origin("req_1", 1, 2, "m", "openai_chat", "end_turn", TokenUsage(in_fresh=3, out_total=4), 50, None)


def answer(text: bytes = b"{}"):
    return kept.answer(text, origin=ORIGIN, is_stream=False, tells_usage=True)


def key() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture(params=["local", pytest.param("shared", marks=pytest.mark.redis)])
async def store(request):
    made = Local(most=MOST) if request.param == "local" else await shared()
    yield made
    await made.close()


async def shared(*, url: str = "", secret: str = "s", most: int = MOST) -> Shared:
    """One that is up. A machine that tests on all its processors is quick enough in a second."""
    made = Shared(url or settings.REDIS_URL, secret=secret, most=most, deadline=1.0)
    made.start()
    async with asyncio.timeout(20):
        while not made.is_up:
            await asyncio.sleep(0.005)
    return made


@pytest.mark.once
async def test_packing_a_long_answer_holds_nobody_up():
    """Its caller's call is over by then; others' are not."""
    text, one, shelf = secrets.token_hex(4_000_000).encode(), key(), Shelf(Local(most=10_000_000))
    began = time.perf_counter()
    zlib.compress(text, 1)
    at_once = time.perf_counter() - began
    flight = (await shelf.find(one, is_fresh=lambda kept: True)).flight
    began = time.thread_time()
    shelf.keep(one, flight, answer(text), ttl=60)
    waiting = asyncio.create_task(shelf.find(one, is_fresh=lambda kept: True))
    await waiting
    assert time.thread_time() - began < at_once / 2
    async with asyncio.timeout(20):
        while not shelf.is_settled:
            await asyncio.sleep(0.005)
    stored = await shelf.peek(one)
    assert stored.text() == text
    assert len(stored.body) < len(text) * 2 / 3
    await shelf.close()


async def test_what_is_kept_is_found_as_it_was_until_its_time_is_over(store):
    one, other = key(), key()
    long = answer(SAID.encode() * 500)
    await store.put(one, long, ttl=60)
    await store.put(other, answer(), ttl=0.001)
    assert await store.get(one) == long
    assert (await store.get(one)).text() == SAID.encode() * 500
    assert len(long.body) < 5_000
    async with asyncio.timeout(5):
        while await store.get(other) is not None:
            await asyncio.sleep(0.001)
    assert await store.get(key()) is None


async def test_no_more_is_kept_than_there_is_room_for(store):
    keys = [key() for _ in range(30)]
    for number, one in enumerate(keys):
        await store.put(one, answer(secrets.token_bytes(10_000)), ttl=60 + number)
    there = [await store.get(one) is not None for one in keys]
    assert there == [False] * 21 + [True] * 9
    await store.put(keys[0], answer(secrets.token_bytes(MOST + 1)), ttl=60)
    assert await store.get(keys[0]) is None
    assert await store.get(keys[-1]) is not None


async def test_what_is_put_again_takes_no_more_room(store):
    one, other = key(), key()
    await store.put(other, answer(secrets.token_bytes(10_000)), ttl=90)
    for _ in range(30):
        await store.put(one, answer(secrets.token_bytes(10_000)), ttl=60)
    assert await store.get(other) is not None


async def test_a_moved_clock_ends_it(monkeypatch):
    store, one = Local(most=MOST), key()
    await store.put(one, answer(), ttl=60)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 59)
    assert await store.get(one) is not None
    monkeypatch.setattr(clock, "now", lambda: now + 61)
    assert await store.get(one) is None


@pytest.mark.redis
async def test_who_reads_redis_reads_nothing_and_nobody_can_plant_an_answer():
    store, one, other = await shared(), key(), key()
    await store.put(one, answer(SAID.encode()), ttl=60)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        names = [name for name in client.keys("weir:{kept}:*") if client.type(name) == b"string"]
        (name,) = [name for name in names if not name.endswith(b":sum")]
        value = client.get(name)
        assert one.hex().encode() not in name
        assert SAID.encode() not in value
        client.set(store._name(other), value)
        assert await store.get(other) is None
        client.set(name, b"anything")
    assert await store.get(one) is None
    stranger = await shared(secret="another installation")
    assert stranger._name(one) != store._name(one)
    await store.close()
    await stranger.close()


async def test_a_server_that_is_not_there_costs_nothing(caplog):
    store = Shared(f"redis://127.0.0.1:{services.free_port()}/0", secret="s", most=MOST)
    store.start()
    assert not await store.put(key(), answer(), ttl=60)
    with pytest.raises(kept.Away):
        await store.get(key())
    assert not store.is_up
    await store.close()


async def test_a_server_that_hangs_is_waited_for_once(caplog):
    caplog.set_level(logging.WARNING)
    silent = asyncio.Event()

    async def serve(reader, writer):
        while await reader.read(1000):
            if not silent.is_set():
                writer.write(b"+PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    store = await shared(url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    silent.set()
    store._deadline = 0.01
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(100):
        with pytest.raises(kept.Away):
            await store.get(key())
    assert loop.time() - began < 5.0
    assert sum(record.message.startswith("no answers are kept: ") for record in caplog.records) == 1
    await store.close()
    server.close()
    await server.wait_closed()


# --- who waits for whom ----------------------------------------------------------------------------------------------


async def turns() -> None:
    """Until all who can go on have."""
    for _ in range(20):
        await asyncio.sleep(0)


def always(_) -> bool:
    return True


def askers(shelf: Shelf, one: bytes, count: int):
    return [asyncio.create_task(shelf.find(one, is_fresh=always)) for _ in range(count)]


async def test_twenty_who_ask_at_once_wait_for_the_first_and_have_its_answer():
    shelf, one = Shelf(Local(most=MOST)), key()
    tasks = askers(shelf, one, 20)
    await turns()
    (leader,) = [task.result() for task in tasks if task.done()]
    shelf.keep(one, leader.flight, said := answer(b"said"), ttl=60)
    found = await asyncio.gather(*tasks)
    assert [each.answer for each in found if each.flight is None] == [said] * 19
    assert (await shelf.find(one, is_fresh=always)).answer == said
    await shelf.close()


@pytest.mark.parametrize(("fate", "next_ones"), [(Fate.AGAIN, 1), (Fate.ALONE, 0)])
async def test_when_the_first_brings_nothing_one_takes_its_place_or_all_go_on_alone(fate, next_ones):
    shelf, one = Shelf(Local(most=MOST)), key()
    tasks = askers(shelf, one, 6)
    await turns()
    (leader,) = [task for task in tasks if task.done()]
    shelf.land(one, leader.result().flight, fate)
    await turns()
    rest = [task for task in tasks if task is not leader]
    took = [task.result() for task in rest if task.done() and task.result().flight is not None]
    assert len(took) == next_ones
    if fate is Fate.AGAIN:
        assert sum(task.done() for task in rest) == 1
        shelf.keep(one, took[0].flight, answer(), ttl=60)
    found = await asyncio.gather(*rest)
    assert sum(each.answer is not None for each in found) == (4 if fate is Fate.AGAIN else 0)
    await shelf.close()


async def test_who_waits_may_leave_and_nobody_waits_for_ever():
    shelf, one = Shelf(Local(most=MOST), patience=0.05), key()
    tasks = askers(shelf, one, 3)
    await turns()
    tasks[2].cancel()
    await turns()
    assert tasks[2].cancelled()
    impatient = await tasks[1]
    assert (impatient.answer, impatient.flight, impatient.has_waited) == (None, None, True)
    shelf.keep(one, tasks[0].result().flight, answer(), ttl=60)
    assert (await shelf.find(one, is_fresh=always)).answer is not None
    await shelf.close()


async def test_whoever_is_looking_in_the_store_and_leaves_holds_up_nobody():
    class Slow(Local):
        async def get(self, key):
            await asyncio.sleep(0 if self._size else 30)

    shelf, one = Shelf(store := Slow(most=MOST)), key()
    first, second = askers(shelf, one, 2)
    await turns()
    store._size = 1
    first.cancel()
    assert (await asyncio.wait_for(second, 5)).flight is not None
    await shelf.close()


async def test_what_is_no_longer_fresh_is_fetched_again():
    shelf, one = Shelf(Local(most=MOST)), key()
    shelf.keep(one, None, answer(), ttl=60)
    await turns()
    assert (await shelf.find(one, is_fresh=always)).answer is not None
    assert (await shelf.find(one, is_fresh=lambda kept: False)).flight is not None
    await shelf.close()
