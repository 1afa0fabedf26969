"""Clients that take time and connections, and those that stop reading: others do not feel them, and little is held for
them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.attack.planes import Calls, Memory, p99
from tests.deploy import front
from tests.faults import books
from tests.faults.installation import Gateway, Installation, opened
from tests.faults.tenants import Tenant, open_tenant, read_books, settle, verified
from tests.gateway.sockets import call
from tests.servers import ROOT, Simulator, start_simulator, until

IS_ALONE = bool(os.environ.get("WEIR_ATTACK"))
CONNECTIONS = 10_000 if IS_ALONE else 600
OF_ONE = 1_200 if IS_ALONE else 120
MEASURED_SECONDS = 4.0 if IS_ALONE else 1.0
HEADER_SECONDS = 10.0 if IS_ALONE else 1.0
STREAMS = 200 if IS_ALONE else 20
STALL_SECONDS = 3.0
MIB = 1024 * 1024
FLOOD = "tokens-1500,pace-1,ignore-max"  # more than all buffers hold, a thousand events a second
ESTABLISHED = "01"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Iterator[Installation]:
    with opened(tmp_path_factory.mktemp("slow"), provider=provider) as found:
        yield found


@pytest.fixture(scope="module")
def tenant(installation: Installation) -> Tenant:
    return open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**15}])


@pytest.fixture
def serving(installation: Installation) -> Iterator[Callable[..., Gateway]]:
    """Starts the test's gateway, with these settings."""

    def start(**settings: object) -> Gateway:
        return installation.start(**settings)[0]

    yield start
    installation.end()


class Crowd:
    """`tests.attack.crowd` in a process of its own, all of it connected."""

    def __init__(self, port: int, count: int, addresses: int = 100) -> None:
        command = [sys.executable, "-m", "tests.attack.crowd", *map(str, (port, count, addresses))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)

    def wait(self) -> None:
        """Until all are there."""
        assert "ready" in self._read()

    def ask(self) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = self._read()
        return self._read() if "ready" in told else told

    def _read(self) -> dict:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@contextlib.contextmanager
def crowd(port: int, count: int, addresses: int = 100) -> Iterator[Crowd]:
    running = Crowd(port, count, addresses)
    try:
        yield running
    finally:
        running.close()


def connected(gateway: Gateway) -> list[str]:
    """The gateway's connections to clients, as the system has them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [line[2] for line in lines if line[1].endswith(f":{gateway.port:04X}") and line[3] == ESTABLISHED]


@pytest.mark.attack("F16")
def test_ten_thousand_who_take_their_time_are_not_felt(serving, tenant, figure):
    gateway = serving(WEIR_HEADER_SECONDS=HEADER_SECONDS)
    calls = Calls(gateway.base_url, tenant.key)
    calls.paced(1.0)  # warm
    without = calls.paced(MEASURED_SECONDS)
    with Memory(gateway.pid) as memory, crowd(gateway.port, CONNECTIONS) as slow:
        slow.wait()
        until(lambda: slow.ask()["closed"] > CONNECTIONS / 10)  # and they have come again
        beside = calls.paced(2 * MEASURED_SECONDS)
        told = slow.ask()
        assert told["open"] > CONNECTIONS * 0.8
    without += calls.paced(MEASURED_SECONDS)
    # Two thirds are told 408, or nothing, when their time is over.
    assert told["answers"]["200"] >= CONNECTIONS / 3 - 1
    assert told["answers"]["408"] > 0
    figure("F16", "connections held", told["open"], least=8_000)
    figure("F16", "p99 of healthy calls, times that without them", p99(beside) / p99(without), "x", most=2)
    figure("F16", "p99 of healthy calls beside them", p99(beside), "ms")
    figure("F16", "resident memory at most", memory.most * 1e6 / MIB, "MiB", most=400)
    assert memory.most * 1e6 / MIB < 400


@pytest.mark.attack("F16")
def test_nor_are_they_behind_nginx(serving, tenant, tmp_path, figure):
    """They come in the clear, and have nginx's connections all the same; calls come by TLS."""
    gateway = serving(WEIR_TRUSTED_PROXIES=["127.0.0.1"], WEIR_MAX_CONNECTIONS_PER_ADDRESS=1)
    at = f"127.0.0.1:{gateway.port}"
    with front.running(tmp_path / "nginx", gateways=[at, at], pages=at) as nginx:
        calls = Calls(nginx.https, tenant.key, trust=nginx.trust)
        calls.paced(1.0)  # warm
        without = calls.paced(MEASURED_SECONDS)
        with crowd(int(nginx.http.rpartition(":")[2]), CONNECTIONS) as slow:
            slow.wait()
            until(lambda: slow.ask()["answers"].get("301", 0) >= CONNECTIONS / 3 - 1)
            beside = calls.paced(2 * MEASURED_SECONDS)
            assert slow.ask()["open"] > CONNECTIONS * 0.8
        without += calls.paced(MEASURED_SECONDS)
    ratio = p99(beside) / p99(without)
    figure("F16", "behind nginx: p99 of healthy calls, times that without them", ratio, "x", most=2)


@pytest.mark.attack("F16")
def test_one_address_takes_no_more_than_its_share(serving, tenant, figure):
    gateway = serving(WEIR_MAX_CONNECTIONS_PER_ADDRESS=OF_ONE - 100)
    with crowd(gateway.port, OF_ONE, addresses=1) as greedy:
        until(lambda: greedy.ask()["answers"].get("429", 0) >= 100)
        calls = Calls(gateway.base_url, tenant.key)  # of another one
        kept = set(connected(gateway))
        for _ in range(4):  # whoever is refused is there for a moment
            calls.paced(0.2)
            kept &= set(connected(gateway))
    figure("F16", "connections of one address that are kept", len(kept), least=OF_ONE - 110, most=OF_ONE - 100)


@pytest.mark.attack("F17")
def test_who_stops_reading_is_cut_off_and_little_is_held_for_it(serving, installation, tenant, provider, figure):
    gateway = serving(WEIR_STALL_SECONDS=STALL_SECONDS)
    at = SimpleNamespace(host="127.0.0.1", port=gateway.port)
    Calls(gateway.base_url, tenant.key).paced(1.0)  # warm
    before = len(provider.readings())
    asked = {"model": "claude", "key": tenant.key, "simulate": FLOOD, "stream": True, "max_tokens": 100}
    with contextlib.ExitStack() as held, Memory(gateway.pid) as memory:
        for _ in range(STREAMS):
            raw = held.enter_context(call(at, "/v1/messages", receive_buffer=4096, **asked))
            assert raw.recv(1)
        begun = time.monotonic()
        until(lambda: not connected(gateway))
        seconds = time.monotonic() - begun
        until(lambda: not any(reading.outcome == "open" for reading in provider.readings()[before:]))
    growth = (memory.most - memory.first) * 1e6 / 1024 / STREAMS
    figure("F17", "resident memory of a stream that nobody reads", growth, "KiB", most=128)
    figure("F17", f"until all are cut off, where {STALL_SECONDS:.0f} s are set", seconds, "s", most=2 * STALL_SECONDS)
    assert growth < 1024
    settle(installation)
    found = read_books(installation, tenant, obeys=False, stalls=True)
    assert [*books.differences(found), *verified(installation, tenant)] == []
    assert [row["status"] for row in found.entries].count("client_gone") == STREAMS
