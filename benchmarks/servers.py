"""Processes, ports and cores. Whatever is started here is stopped here, by its process id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 20.0
FILES = 8192  # an idle stream takes two sockets of the gateway


@dataclass(frozen=True)
class Cores:
    """One core for the gateway, the others for the load generator and the simulated provider."""

    gateway: int | None
    others: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """No pinning where the system cannot pin, or has one core only."""
        present = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(present) < 2:
            return cls(gateway=None, others=frozenset(present))
        return cls(gateway=present[-1], others=frozenset(present[:-1]))

    @contextlib.contextmanager
    def gateway_side(self) -> Iterator[None]:
        """Processes started in this block inherit the gateway's core."""
        if self.gateway is None:
            yield
            return
        os.sched_setaffinity(0, {self.gateway})
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.others)

    def take_other_side(self) -> None:
        if self.gateway is not None:
            os.sched_setaffinity(0, self.others)


@dataclass(frozen=True)
class Server:
    """A running process that accepts connections."""

    pid: int
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


class NotStarted(RuntimeError):
    """A server ended or stayed silent; the message ends with its log."""


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], *, port: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server on `port`, up when it accepts connections. Raises NotStarted."""
    with _process(command, log=log, environment=environment) as process:
        _wait(lambda: _accepts(port), process=process, log=log)
        yield Server(pid=process.pid, port=port, log=log)


@contextlib.contextmanager
def simulator(*, log: Path, burst: int) -> Iterator[Server]:
    """The simulated provider, without waiting, on a port of its own choice. Raises NotStarted."""
    command = [sys.executable, "-m", "apps.simulator", "--host", HOST, "--fast", "--burst", str(burst)]
    with _process(command, log=log) as process:
        _wait(lambda: b"\n" in log.read_bytes(), process=process, log=log)
        ready = json.loads(log.read_bytes().splitlines()[0])
        port = urlsplit(ready["url"]).port
        assert port is not None
        yield Server(pid=process.pid, port=port, log=log)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def allow_many_files() -> None:
    """Children inherit it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def settle(pid: int, *, processor: Callable[[int], float | None], seconds: float) -> None:
    """Wait until the process has finished what it does behind an answer: until it all but rests."""
    deadline = time.monotonic() + seconds
    before = processor(pid)
    while before is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        now = processor(pid)
        if now is None or now - before < 0.02:
            return
        before = now


@contextlib.contextmanager
def _process(
    command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise NotStarted(f"{process.args!r} did not start:\n{end}")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where there is one: a load generator must not be the bottleneck."""
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None
