"""The real gateway on a real socket, the simulated provider behind it, and a small world to call from."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator

import httpx2
import pytest
import uvicorn
from django.conf import settings

from apps.catalog import vault
from apps.gateway import engine as engines
from apps.runtime.state import state
from apps.usage.models import Entry
from gateway_site.asgi import application
from gateway_site.connections import protocol
from gateway_site.server import bounds
from tests.gateway.world import World
from tests.remembered import Remembered
from tests.servers import Simulator, start_simulator, until

DEADLINE = 30.0
TICK = 0.005


class Server(uvicorn.Server):
    """Goes when it is told to. Uvicorn looks ten times a second whether it is, and then waits a tenth more."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            await asyncio.sleep(TICK)
            counter += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(TICK)
        await self.lifespan.shutdown()


class Gateway:
    """A gateway in a thread of its own, on the test's database."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.host = "127.0.0.1"
        config = uvicorn.Config(
            application,
            host=self.host,
            port=0,
            log_level="warning",
            access_log=False,
            http=protocol(bounds(settings)),
        )
        self._server = self.serve_with(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://{self.host}:{self.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=DEADLINE, verify=False)

    def serve_with(self, config: uvicorn.Config) -> uvicorn.Server:
        return Server(config)

    @property
    def engine(self) -> engines.Engine:
        assert engines.current is not None
        return engines.current

    def refresh(self) -> None:
        """Make a change of configuration known at once, as the poller would within a second."""
        self.call(self.engine.configuration.refresh())

    def settle(self) -> None:
        """Until every call has ended and every outcome is in the ledger."""
        until(lambda: state.in_flight == 0)
        self.call(self.engine.accounts.forwarder.flush())

    def look_ups(self) -> int:
        return self.engine.configuration.keyring.loads

    def call(self, coroutine):
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    def stop(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the gateway did not stop"

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._server.serve())
        self._loop.close()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("simulator"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def remembered(simulator: Simulator) -> Remembered[World]:
    return Remembered(lambda: World(simulator.base_url))


@pytest.fixture
def world(transactional_db: None, remembered: Remembered[World]) -> World:
    """Ids repeat from test to test: what this process and its journals still know by them is of the last test."""
    vault.forget()
    shutil.rmtree(settings.WEIR_JOURNAL_DIR, ignore_errors=True)
    return remembered.again()


@pytest.fixture
def gateway(world: World) -> Iterator[Gateway]:
    running = Gateway(world)
    yield running
    running.stop()


@pytest.fixture
def costs_nothing(gateway: Gateway, simulator: Simulator, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No upstream is called, nothing is booked, and the log holds neither the key nor a crash."""
    before = simulator.seen()
    yield
    assert simulator.seen() == before, "the upstream was called"
    gateway.settle()
    assert not Entry.objects.exists()
    assert gateway.world.key not in caplog.text
    assert "Traceback" not in caplog.text
