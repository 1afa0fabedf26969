from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from apps.runtime.state import state
from gateway_site.connections import Bounds
from tests.status.served import asking, head, running, until

pytestmark = pytest.mark.once


async def test_a_server_that_is_told_to_leave_serves_on_until_balancers_have_noticed() -> None:
    async with running(prestop=30) as it:
        assert b" 200 " in await head(it.port, "/ready")
        it.signal()
        assert state.draining
        assert b" 503 " in await head(it.port, "/ready")
        assert b" 200 " in await head(it.port, "/now")
        assert not it.ended.done()


async def test_kept_connections_are_asked_to_close_while_draining() -> None:
    async with running(prestop=30) as it:
        assert b"connection: close" not in await head(it.port, "/now")
        it.signal()
        await until(lambda: it.server.config.encoded_headers)
        assert b"connection: close" in await head(it.port, "/now")


async def test_streams_finish_before_the_books_are_closed() -> None:
    async with running() as it, asking(it.port, "/stream") as reader:
        await reader.readuntil(b"begun ")
        it.signal()
        await until(lambda: it.server.should_exit)
        with pytest.raises(ConnectionRefusedError):
            await refused(it.port)
        assert "shutdown" not in it.told
        it.stand.go_on.set()
        assert b"done" in await reader.read()
        await asyncio.wait_for(it.ended, 20)
        assert it.told == ["streaming", "settled", "shutdown"]


async def refused(port: int) -> None:
    """Raises once nobody accepts any more."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await asyncio.sleep(0.01)


async def test_a_stream_that_outlasts_the_limit_is_cancelled_and_settles_first() -> None:
    async with running(drain=0.3) as it, asking(it.port, "/stream") as reader:
        await reader.readuntil(b"begun ")
        it.signal()
        assert b"cancelled" in await reader.read()
        await asyncio.wait_for(it.ended, 20)
        assert it.told == ["streaming", "settled", "shutdown"]


async def test_a_second_interrupt_skips_the_waiting_but_not_the_settling() -> None:
    async with running(prestop=30, drain=30) as it, asking(it.port, "/stream") as reader:
        await reader.readuntil(b"begun ")
        it.signal(signal.SIGINT)
        it.signal(signal.SIGTERM)  # a supervisor passes on what the terminal has sent already
        assert not it.server.force_exit
        it.signal(signal.SIGINT)
        await asyncio.wait_for(it.ended, 10)
        assert it.told == ["streaming", "settled", "shutdown"]


@pytest.mark.attack("F17")
async def test_a_client_that_stops_reading_is_cut_off() -> None:
    async with running(bounds=Bounds(stall=0.3)) as it:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", it.port))
            await loop.sock_sendall(client, b"GET /flood HTTP/1.1\r\nhost: weir\r\n\r\n")
            await until(lambda: not it.server.server_state.connections)


async def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    async with running(bounds=Bounds(stall=0.3)) as it, asking(it.port, "/flood") as reader:
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            assert await reader.read(65536)
            await asyncio.sleep(0.05)


@pytest.mark.attack("F17")
async def test_a_client_that_takes_less_than_the_least_is_cut_off() -> None:
    async with running(bounds=Bounds(stall=0.5, least=10**6)) as it:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", it.port))
            await loop.sock_sendall(client, b"GET /flood HTTP/1.1\r\nhost: weir\r\n\r\n")
            await until(lambda: it.server.server_state.connections)
            ends = time.monotonic() + 20
            while it.server.server_state.connections:
                assert await loop.sock_recv(client, 1024)
                assert time.monotonic() < ends
                await asyncio.sleep(0.02)


async def test_the_loops_lag_is_measured() -> None:
    async with running():
        state.loop_lag = 0.0
        await asyncio.sleep(0.15)
        time.sleep(0.5)
        await until(lambda: state.loop_lag > 0.2)


def test_a_process_drains_on_a_signal_and_leaves_with_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, handle = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "tests.status.stand", str(handle), "0.2", "10"]
        process = subprocess.Popen(command, pass_fds=[handle], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /now HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")
        assert b"done" in client.makefile("rb").read()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
        told = [line for line in process.stdout.read().splitlines() if " " not in line]  # the rest are logs
        assert told == ["settled", "shutdown", "left"]
