"""A server with a stand in it, on a port of its own, in the test's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from gateway_site.connections import Bounds
from gateway_site.ports import Ports
from gateway_site.server import DrainingServer, configuration
from tests.status.stand import Stand


@dataclass
class Running:
    server: DrainingServer
    stand: Stand
    port: int
    ended: asyncio.Task[None]
    told: list[str] = field(default_factory=list)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.server.handle_exit(number, None)


@contextlib.asynccontextmanager
async def running(
    *, prestop: float = 0.0, drain: float = 30.0, bounds: Bounds | None = None, ports: Ports | None = None
) -> AsyncIterator[Running]:
    told: list[str] = []
    stand = Stand(told.append)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = configuration(stand, host="", port=0, bounds=bounds)
    server = DrainingServer(config, prestop=prestop, drain=drain, ports=ports)
    ended = asyncio.ensure_future(server._serve([listener]))
    await until(lambda: server.started)
    yield Running(server, stand, port, ended, told)
    stand.go_on.set()
    server.force_exit = server.should_exit = True
    await asyncio.wait_for(ended, 20)


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def asking(port: int, path: str) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: weir\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()


async def head(port: int, path: str) -> bytes:
    async with asking(port, path) as reader:
        return await reader.readuntil(b"\r\n\r\n")
