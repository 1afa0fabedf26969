"""Ports that open and close while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from apps.runtime.state import state
from gateway_site import ports
from gateway_site.ports import Ports
from tests.status.served import asking, head, running, until

pytestmark = pytest.mark.once

HOME = "127.0.0.1"


def free() -> int:
    with socket.create_server((HOME, 0)) as listener:
        return listener.getsockname()[1]


class Wishes:
    """What a configuration would want; another dict each time that it changes."""

    def __init__(self, *wanted: int) -> None:
        self.set(*wanted)

    def set(self, *wanted: int) -> None:
        self.wanted = dict.fromkeys(wanted, "")

    def __call__(self) -> dict[int, str]:
        return self.wanted


def is_open(port: int, host: str = HOME) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


async def test_ports_open_and_close_as_they_are_wanted():
    first, second, wishes = free(), free(), Wishes()
    async with running(ports=Ports(wishes, share=False)) as it:
        assert not is_open(first)
        wishes.set(first, second)
        await until(lambda: state.ports == {first: "", second: ""})
        assert b" 200 " in await head(first, "/now")
        assert b" 200 " in await head(second, "/now")
        assert b" 200 " in await head(it.port, "/now")
        wishes.set(second)
        await until(lambda: state.ports == {second: ""})
        assert not is_open(first)
        assert b" 200 " in await head(second, "/now")


async def test_a_port_that_is_taken_is_told_and_opened_once_it_is_free(monkeypatch):
    monkeypatch.setattr(ports, "RETRY_SECONDS", 0.1)
    with socket.create_server((HOME, 0)) as taken:
        port = taken.getsockname()[1]
        async with running(ports=Ports(Wishes(port), share=False)):
            await until(lambda: state.ports == {port: "in use"})
            taken.close()
            await until(lambda: state.ports == {port: ""})
            assert b" 200 " in await head(port, "/now")


async def test_a_port_that_is_wanted_no_more_is_no_trouble_any_more():
    with socket.create_server((HOME, 0)) as taken:
        wishes = Wishes(taken.getsockname()[1])
        async with running(ports=Ports(wishes, share=False)):
            await until(lambda: list(state.ports.values()) == ["in use"])
            wishes.set()
            await until(lambda: state.ports == {})


async def test_a_port_listens_on_its_own_address_and_moves_to_another():
    port, wishes = free(), Wishes()
    wishes.wanted = {port: "127.0.0.2"}
    async with running(ports=Ports(wishes, share=False)):
        await until(lambda: state.ports == {port: ""})
        assert is_open(port, "127.0.0.2")
        assert not is_open(port)
        wishes.wanted = {port: HOME}
        await until(lambda: is_open(port))
        assert not is_open(port, "127.0.0.2")


async def test_an_address_of_another_machine_is_told():
    port, wishes = free(), Wishes()
    wishes.wanted = {port: "192.0.2.1"}
    async with running(ports=Ports(wishes, share=False)):
        await until(lambda: state.ports == {port: "the address is not this machine's"})


async def test_a_stream_goes_on_when_its_port_is_closed():
    port = free()
    wishes = Wishes(port)
    async with running(ports=Ports(wishes, share=False)) as it:
        await until(lambda: state.ports == {port: ""})
        async with asking(port, "/stream") as reader:
            await reader.readuntil(b"begun ")
            wishes.set()
            await until(lambda: state.ports == {})
            assert not is_open(port)
            it.stand.go_on.set()
            assert b"done" in await asyncio.wait_for(reader.readuntil(b"done"), 20)


async def test_a_port_is_drained_with_the_server():
    port = free()
    async with running(prestop=0.5, ports=Ports(Wishes(port), share=False)) as it:
        await until(lambda: state.ports == {port: ""})
        async with asking(port, "/stream") as reader:
            await reader.readuntil(b"begun ")
            it.signal()
            assert b"connection: close" in await _told_to_close(port)
            await until(lambda: it.server.should_exit)
            await until(lambda: not is_open(port))
            assert it.told[-1] == "settled", "that of /now; the stream runs on"
            it.stand.go_on.set()
            assert b"done" in await reader.read()
            await asyncio.wait_for(it.ended, 20)
            assert it.told[-1] == "shutdown"


async def _told_to_close(port: int) -> bytes:
    deadline = time.monotonic() + 20
    while b"connection: close" not in (answer := await head(port, "/now")):
        assert time.monotonic() < deadline
    return answer


@pytest.mark.parametrize(("share", "second"), [(True, ""), (False, "in use")])
async def test_processes_share_a_port_only_where_they_may(share, second):
    port = free()
    with ports._bound(HOME, port, share=share) as other:
        other.listen()
        async with running(ports=Ports(Wishes(port), share=share)):
            await until(lambda: state.ports == {port: second})


async def test_a_port_of_a_server_that_leaves_is_not_opened_any_more():
    port, wishes = free(), Wishes()
    async with running(prestop=30, ports=Ports(wishes, share=False)) as it:
        it.signal()
        wishes.set(port)
        await asyncio.sleep(0.3)
        assert not is_open(port)
