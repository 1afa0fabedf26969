"""Kept answers: what a store holds, and for how long."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import zlib

import pytest
import redis
from django.conf import settings
from msgspec.structs import replace

from apps.domain.tokens import TokenUsage
from apps.gateway import kept
from apps.gateway.kept import Local, Shared
from apps.gateway.shelf import Shelf
from apps.runtime import clock
from tests import services
from tests.servers import until

MOST = 100_000
SAID = "Nobody else may read this. "
ORIGIN = kept.Origin("req_1", 1, 2, "m", "openai_chat", "end_turn", TokenUsage(in_fresh=3, out_total=4), 50, None)


def answer(text: bytes = b"{}"):
    return kept.answer(text, origin=ORIGIN, is_stream=False, tells_usage=True)


def key(secret: bytes = b"a tenant's") -> kept.Key:
    return kept.Key(secrets.token_bytes(32), secret)


@pytest.fixture
def server():
    """A Valkey of the test's own, to fill and to poison."""
    with services.valkey() as running:
        yield running.url


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


@pytest.mark.attack("F31")
async def test_its_time_is_over_at_its_end_and_not_before(monkeypatch):
    store, one, now = Local(most=MOST), key(), clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    await store.put(one, answer(), ttl=60)
    monkeypatch.setattr(clock, "now", lambda: now + 59.5)
    assert await store.get(one) is not None
    monkeypatch.setattr(clock, "now", lambda: now + 60)
    assert await store.get(one) is None


async def test_what_was_asked_for_longest_ago_goes_first():
    store, keys = Local(most=MOST), [key() for _ in range(10)]
    for one in keys[:9]:
        await store.put(one, answer(secrets.token_bytes(10_000)), ttl=60)
    assert await store.get(keys[0]) is not None
    await store.put(keys[9], answer(secrets.token_bytes(10_000)), ttl=60)
    assert [one for one in keys if await store.get(one) is None] == [keys[1]]


@pytest.mark.redis
@pytest.mark.attack("F31")
async def test_who_reads_redis_reads_nothing_and_nobody_can_plant_an_answer():
    store, one, other = await shared(), key(), key()
    await store.put(one, answer(SAID.encode()), ttl=60)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        names = [name for name in client.keys("weir:{kept}:*") if client.type(name) == b"string"]
        (name,) = [name for name in names if not name.endswith(b":sum")]
        value = client.get(name)
        assert one.question.hex().encode() not in name
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


@pytest.mark.once
async def test_what_is_not_as_it_was_written_is_a_miss_that_is_told_once(server, caplog):
    store, keys = await shared(url=server), [key() for _ in range(40)]
    with redis.Redis.from_url(server) as client:
        for number, one in enumerate(keys):
            await store.put(one, answer(), ttl=60)
            name = store._name(one)
            if number % 4 == 0:
                client.delete(name)
                client.rpush(name, "a list")
            else:
                value = client.get(name)
                client.set(name, {1: value[:-1] + b"?", 2: b"", 3: secrets.token_bytes(70_000)}[number % 4])
    assert [await store.get(one) for one in keys] == [None] * 40
    assert store.is_up
    assert sum("of the kept answers" in record.getMessage() for record in caplog.records) == 1
    for one in keys:
        assert await store.put(one, answer(), ttl=60), "who fetches it anew makes it good"
        assert await store.get(one) == answer_like(await store.get(one))
    await store.close()


def answer_like(found):
    """The usual one, as old as that."""
    return replace(answer(), kept_at=found.kept_at)


@pytest.mark.once
async def test_two_versions_that_write_answers_otherwise_do_not_meet(server, caplog, monkeypatch):
    ours, one = await shared(url=server), key()
    await ours.put(one, answer(), ttl=60)
    monkeypatch.setattr(kept, "_SHAPE", b"another")
    theirs = await shared(url=server)
    assert await theirs.get(one) is None
    await theirs.put(one, answer(b"theirs"), ttl=60)
    assert ((await ours.get(one)).text(), (await theirs.get(one)).text()) == (b"{}", b"theirs")
    assert "of the kept answers" not in caplog.text
    await ours.close()
    await theirs.close()


@pytest.mark.once
async def test_a_full_server_keeps_no_more_and_still_gives_what_it_has(server, caplog):
    store, one = await shared(url=server, most=10**9), key()
    await store.put(one, answer(), ttl=60)
    with redis.Redis.from_url(server) as client:
        full = client.info("memory")["used_memory"] + 300_000
        client.config_set("maxmemory", full)
        kept_ = [await store.put(key(), answer(secrets.token_bytes(20_000)), ttl=60) for _ in range(100)]
        assert 0 < sum(kept_) < 40, "those who are limited by the same server need it more"
        assert sum(kept_[60:]) < 5, "what it has of room comes and goes a little"
        assert client.info("memory")["used_memory"] < full + 200_000
    assert store.is_up
    assert (await store.get(one)).text() == b"{}"
    assert sum("of the kept answers" in record.getMessage() for record in caplog.records) == 1
    await store.close()


@pytest.mark.once
async def test_a_long_answer_is_found_whole_and_may_take_longer(server):
    store = await shared(url=server, most=10**9)
    sealed = len(kept._encode(answer(b"x" * 100_000))) - 100_000 + kept._NONCE + 16
    for size in (*(kept._AT_ONCE - sealed + more for more in (-1, 0, 1)), 9_000_000):
        text, one = secrets.token_bytes(size), key()
        whole = replace(answer(b""), body=text)
        await store.put(one, whole, ttl=60)
        assert await store.get(one) == whole
        assert await kept.unpacked(whole) == text
    await store.close()


async def test_the_rest_of_a_long_answer_has_a_deadline_of_its_own(monkeypatch):
    """What comes here is garbage, and so a miss: the server is not at fault."""
    monkeypatch.setattr(kept, "LONG_SECONDS", 30.0)

    async def serve(reader, writer):
        while asked := await reader.read(1000):
            if b"GETRANGE" in asked:
                writer.write(b"$65536\r\n" + b"a" * 65536 + b"\r\n")
            elif b"GET" in asked:
                loop.call_later(2 * store._deadline, writer.write, b"$70000\r\n" + b"a" * 70000 + b"\r\n")
            else:
                writer.write(b"+PONG\r\n")
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    store = await shared(url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    store._deadline = 0.4
    assert await store.get(key()) is None
    assert store.is_up
    await store.close()
    server.close()
    await server.wait_closed()


async def test_ten_thousand_small_answers_take_no_more_room_than_there_is():
    """Their names and places count, too."""
    store = Local(most=MOST)
    for _ in range(10_000):
        assert await store.put(key(), answer(), ttl=60)
    assert len(store._answers) <= MOST / 600
    assert store._size <= MOST
    for one in list(store._answers):
        store._drop(one)
    assert store._size == 0


@pytest.mark.once
async def test_ten_thousand_small_answers_take_no_more_room_in_redis(server):
    store, most = await shared(url=server, most=1_000_000), 1_000_000
    with redis.Redis.from_url(server) as client:
        before = client.info("memory")["used_memory"]
        for _ in range(100):
            await asyncio.gather(*(store.put(key(), answer(), ttl=60) for _ in range(50)))
        await store.close()
        # Soon: what it keeps for a connection goes a while after the connection.
        until(lambda: client.info("memory")["used_memory"] - before < 1.5 * most)
        assert int(client.get("weir:{kept}:sum")) <= most
        assert client.zcard("weir:{kept}:by expiry") == client.hlen("weir:{kept}:sizes") == client.dbsize() - 3
