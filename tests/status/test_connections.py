"""What a client may take of a server before it has asked for anything: time, bytes, connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest

from gateway_site.connections import ENDED, MOST_HEADERS, Bounds, Crowd
from gateway_site.forwarded import Proxies
from gateway_site.ports import Ports
from tests.status.served import Running, asking, running, until
from tests.status.test_ports import Wishes, free

pytestmark = [pytest.mark.once, pytest.mark.attack("F16")]

GET = b"GET /now HTTP/1.1\r\nhost: weir\r\n"
POST = b"POST /read HTTP/1.1\r\nhost: weir\r\ntransfer-encoding: chunked\r\n\r\n"
SOON = Bounds(head=0.3, body=0.3, least=100)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def told(self) -> bytes:
        """All that comes until the server closes, or resets what it has not read."""
        found = b""
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(self._reader.read(65536), 20):
                found += piece
        return found

    async def answer(self) -> bytes:
        """One from the stand."""
        return await asyncio.wait_for(self._reader.readuntil(b"0\r\n\r\n"), 20)

    async def begun(self) -> None:
        """The stand's stream."""
        await asyncio.wait_for(self._reader.readuntil(b"begun "), 20)

    async def told_while_sending(self, piece: bytes) -> bytes:
        """The same from one who sends that over and over."""
        ending = asyncio.ensure_future(self.told())
        while not ending.done():
            with contextlib.suppress(ConnectionError):
                self.send(piece)
            await asyncio.wait([ending], timeout=0.02)
        return ending.result()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def crowd(it: Running) -> Crowd:
    return it.server.config.http_protocol_class.crowd  # type: ignore[union-attr, no-any-return]


async def forgotten(it: Running) -> None:
    """Nothing is kept of connections that are gone."""
    found = crowd(it)
    await until(lambda: not it.server.server_state.connections)
    await until(lambda: not (found.heads._due or found.bodies._due or found.idle or found._of))


async def test_who_says_nothing_is_closed_without_a_word() -> None:
    before = ENDED.values.get(("head",), 0)
    async with running(bounds=SOON) as it:
        async with client(it.port) as silent:
            assert await silent.told() == b""
        assert ENDED.values["head",] == before + 1
        await forgotten(it)


async def test_bytes_now_and_then_keep_no_head_alive() -> None:
    async with running(bounds=SOON) as it:
        async with client(it.port) as slow:
            slow.send(GET)
            told = await slow.told_while_sending(b"a")
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in told
        await forgotten(it)


async def test_who_has_had_its_answer_may_wait_longer_but_not_by_sending_nothing_of_a_request() -> None:
    async with running(bounds=SOON) as it:
        async with client(it.port) as kept, client(it.port) as restless, client(it.port) as slow:
            for each in (kept, restless, slow):
                each.send(GET + b"\r\n")
                await each.answer()
            slow.send(GET[:5])
            assert (await slow.told()).startswith(b"HTTP/1.1 408 ")  # so that a head's time has passed
            assert await restless.told_while_sending(b"\r\n") == b""
            kept.send(GET + b"\r\n")
            assert b" 200 " in await kept.answer()
        await forgotten(it)


async def test_one_whose_answer_takes_long_is_not_late_with_its_next_head() -> None:
    async with running(bounds=SOON) as it, client(it.port) as patient, client(it.port) as silent:
        patient.send(GET.replace(b"/now", b"/stream") + b"\r\n")
        await patient.begun()
        patient.send(GET[:10])
        await until(lambda: len(crowd(it).heads._due) == 2)
        assert await silent.told() == b""
        async with client(it.port) as later:
            assert await later.told() == b""
        it.stand.go_on.set()
        assert b"done" in await patient.answer()


async def test_what_is_late_after_one_that_could_not_be_ended_is_ended() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with running(bounds=SOON) as it, client(it.port):
        late = crowd(it).heads._late

        def broken(_: object) -> None:
            crowd(it).heads._late = late
            raise RuntimeError

        crowd(it).heads._late = broken
        await until(lambda: told)
        async with client(it.port) as silent:
            assert await silent.told() == b""
    assert [type(error) for error in told] == [RuntimeError]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_beyond_its_bounds_is_refused_before_it_is_a_request(at_once: bool) -> None:
    many = b"".join(b"x-%d: y\r\n" % number for number in range(MOST_HEADERS + 1))
    for odd in (b"x: " + b"y" * 4_000 + b"\r\n", many):
        async with running(bounds=Bounds(head_bytes=4_000)) as it, client(it.port) as greedy:
            greedy.send(GET + odd + (b"\r\n" if at_once else b""))
            told = await greedy.told()
            assert told.startswith(b"HTTP/1.1 431 ")
            assert it.stand.settled == 0


async def test_a_long_body_does_not_count_as_the_head_that_comes_with_it() -> None:
    async with running(bounds=Bounds(head_bytes=4_000)) as it, client(it.port) as good:
        good.send(POST + b"%x\r\n%b\r\n0\r\n\r\n" % (20_000, b"x" * 20_000))
        assert b" 200 " in await good.answer()


async def test_headers_after_the_body_have_a_number_too() -> None:
    async with running() as it, client(it.port) as greedy:
        greedy.send(POST + b"0\r\n" + b"x: y\r\n" * (MOST_HEADERS + 2))
        assert (await greedy.told()).startswith(b"HTTP/1.1 431 ")
        await forgotten(it)


async def test_a_body_that_comes_too_slowly_is_given_up_and_one_that_keeps_coming_is_not() -> None:
    async with running(bounds=SOON) as it:
        async with client(it.port) as slow, client(it.port) as good:
            good.send(POST)
            slow.send(POST)
            ending = asyncio.ensure_future(slow.told_while_sending(b"0"))
            while not ending.done():
                good.send(b"64\r\n" + b"x" * 100 + b"\r\n")
                await asyncio.wait([ending], timeout=0.02)
            assert ending.result().startswith(b"HTTP/1.1 408 ")
            good.send(b"0\r\n\r\n")
            assert b" 200 " in await good.answer()
        await forgotten(it)


@pytest.mark.parametrize(
    "next_one",
    [
        GET + b"host: x\r\n\r\n",
        GET + b"x: y\r\n" * (MOST_HEADERS + 1),
        GET + b"x: y\r\n" * (MOST_HEADERS + 1) + b"\r\n",
    ],
    ids=["that cannot be read", "that is too large", "that is too large, and whole"],
)
async def test_an_answer_is_not_cut_short_by_the_next_request(next_one: bytes) -> None:
    """Nor is what comes behind that one waited for."""
    async with running(bounds=SOON) as it:
        async with client(it.port) as eager, client(it.port) as silent:
            eager.send(GET.replace(b"/now", b"/stream") + b"\r\n")
            await eager.begun()
            eager.send(next_one)
            await until(lambda: [each for each in it.server.server_state.connections if each._is_over])
            eager.send(POST + b"1\r\n")
            assert await silent.told() == b""  # a head's time has passed, and a body's
            assert not crowd(it).bodies._due
            it.stand.go_on.set()
            assert (await eager.told()).endswith(b"done\r\n0\r\n\r\n")
        await forgotten(it)


async def test_a_body_that_waits_for_its_turn_is_not_late_before() -> None:
    late = asyncio.Event()
    async with running(bounds=SOON) as it, client(it.port) as eager:

        def look(connection: Any) -> None:
            connection.flow.resume_reading()  # as a call does that waits for its caller to leave
            connection.body_is_late()
            late.set()

        crowd(it).bodies._late = look
        eager.send(GET.replace(b"/now", b"/stream") + b"\r\n" + POST)
        await eager.begun()
        await asyncio.wait_for(late.wait(), 20)
        it.stand.go_on.set()
        told = await eager.told()
        assert told.startswith(b"\r\n4\r\ndone\r\n0\r\n\r\nHTTP/1.1 408 ")
        assert told.count(b"HTTP/1.1 ") == 1
        await forgotten(it)


async def test_the_time_of_a_body_begins_with_its_turn() -> None:
    async with running() as it, client(it.port) as eager:
        eager.send(GET.replace(b"/now", b"/stream") + b"\r\n" + POST)
        await eager.begun()
        (due,) = crowd(it).bodies._due.values()
        it.stand.go_on.set()
        await eager.answer()
        assert [later > due for later in crowd(it).bodies._due.values()] == [True]


async def test_who_has_its_answer_does_not_stay_by_sending_a_body_that_nobody_reads() -> None:
    async with running(bounds=SOON) as it, client(it.port) as slow:
        slow.send(GET + b"content-length: 100000\r\n\r\n")
        told = await slow.told_while_sending(b"x")
        assert told.count(b"HTTP/1.1 ") == 1
        assert b" 200 " in told
        await forgotten(it)


async def test_an_address_has_so_many_connections_on_all_ports_and_proxies_have_any_number() -> None:
    port = free()
    async with running(bounds=Bounds(of_one=2), ports=Ports(Wishes(port), share=False)) as it:
        await until(lambda: len(it.server.servers) == 2)
        async with client(it.port), client(port), client(it.port) as third:
            assert (await third.told()).startswith(b"HTTP/1.1 429 ")
        await forgotten(it)
        async with client(it.port) as again:
            again.send(GET + b"\r\n")
            assert b" 200 " in await again.answer()
    exempt = Bounds(of_one=1, proxies=("127.0.0.0/8",))
    async with running(bounds=exempt) as it, client(it.port), client(it.port) as second:
        second.send(GET + b"\r\n")
        assert b" 200 " in await second.answer()


async def test_when_all_are_taken_who_has_waited_longest_makes_room() -> None:
    async with running(bounds=Bounds(in_all=3)) as it:
        async with client(it.port) as first, client(it.port) as second, asking(it.port, "/stream") as busy:
            for each in (first, second):
                each.send(GET + b"\r\n")
                await each.answer()
            await busy.readuntil(b"begun ")
            async with client(it.port) as fourth:
                fourth.send(GET + b"\r\n")
                assert b" 200 " in await fourth.answer()
                assert await first.told() == b""
                second.send(GET + b"\r\n")
                assert b" 200 " in await second.answer()
        await forgotten(it)


async def test_who_has_asked_again_is_not_spared_however_it_has_sent_that() -> None:
    async with running(bounds=Bounds(in_all=1)) as it, client(it.port) as busy:
        busy.send(GET + b"content-length: 5\r\n\r\n")
        await busy.answer()  # before its body has come
        busy.send(b"12345" + GET.replace(b"/now", b"/stream") + b"\r\n")
        await busy.begun()
        async with client(it.port) as second:
            assert (await second.told()).startswith(b"HTTP/1.1 503 ")
        it.stand.go_on.set()
        assert b"done" in await busy.answer()


@pytest.mark.parametrize("behind", [b"", b"\r\n", GET], ids=["nothing", "a line end", "another head"])
async def test_when_nobody_can_be_spared_who_comes_is_refused(behind: bytes) -> None:
    async with running(bounds=Bounds(in_all=1)) as it, client(it.port) as busy:
        busy.send(GET.replace(b"/now", b"/stream") + b"\r\n")
        await busy.begun()
        busy.send(behind)
        await until(lambda: bool(crowd(it).heads._due) == bool(behind))
        async with client(it.port) as second:
            told = await second.told()
            assert told.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in told
        it.stand.go_on.set()
        assert b"done" in await busy.answer()


async def test_a_socket_of_a_page_outlives_the_time_of_a_head() -> None:
    handshake = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    async with running(bounds=SOON) as it, client(it.port) as page, client(it.port) as silent:
        page.send(GET + handshake + b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b" 101 " in await asyncio.wait_for(page._reader.readuntil(b"\r\n\r\n"), 20)
        assert await silent.told() == b""
        assert len(it.server.server_state.connections) == 1
        await until(lambda: not (crowd(it).heads._due or crowd(it)._of))


async def test_nothing_is_read_of_a_connection_that_was_reset_before_it_was_accepted() -> None:
    """Nobody could say who it was of, and whether to believe it."""
    async with running(bounds=Bounds(proxies=("10.0.0.0/8",))) as it:
        with socket.create_connection(("127.0.0.1", it.port)) as gone:  # the loop has no turn meanwhile
            gone.sendall(GET + b"x-forwarded-proto: https\r\n\r\n")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with client(it.port) as good:
            good.send(GET + b"connection: close\r\n\r\n")
            assert (await good.told()).endswith(b"done\r\n0\r\n\r\n")
        await forgotten(it)
        await until(lambda: not it.server.server_state.tasks)
        assert it.stand.settled == 1


async def test_for_such_a_connection_nobody_makes_room() -> None:
    async with running(bounds=Bounds(in_all=1)) as it, client(it.port) as good:
        good.send(GET + b"\r\n")
        await good.answer()
        transport = Mock(get_extra_info={"sockname": ("127.0.0.1", it.port)}.get)
        transport.is_closing = lambda: transport.abort.called
        gone = it.server.config.http_protocol_class(it.server.config, it.server.server_state, {})
        gone.connection_made(transport)
        gone.connection_lost(None)
        assert transport.abort.called
        good.send(GET + b"\r\n")
        assert b" 200 " in await good.answer()


def test_an_ipv6_client_is_its_network() -> None:
    found = Crowd(Bounds(of_one=2), Proxies(()))
    assert [found.count(f"2001:db8::{number}")[1] for number in range(3)] == [True, True, False]
    assert found.count("2001:db8:0:1::1")[1]
    assert found.count("192.0.2.1")[0] != found.count("192.0.2.2")[0]
