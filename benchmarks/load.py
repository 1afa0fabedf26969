"""The load generator: a closed loop of kept-alive HTTP/1.1 connections on bare asyncio protocols.

It shares its core with the simulated provider, so it reads no more of an answer than it must: the status, where the
body ends, and whether the body ends as it should.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from benchmarks.wire import Call

TAIL_BYTES = 160  # the last event of either dialect with its chunk framing
FEWEST_CALLS = 100  # a slow contender gets more time to show so many
PATIENCE = 4.0  # times the window, at most
LAST_ANSWERS_SECONDS = 15.0
RECONNECTS = 20

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass
class Tally:
    """What happened in a window. Milliseconds; `first_bytes` until the first byte of the body."""

    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class Connection(asyncio.Protocol):
    """Asks again as soon as it is answered, until `stop`. A lost connection is an error and ends it."""

    def __init__(self, call: Call, *, load: Load) -> None:
        self._call = call
        self._load = load
        self._transport: asyncio.WriteTransport | None = None
        self._head = self._tail = b""
        self._missing: int | None = None  # bytes of the body; None: it is chunked
        self._in_body = self._waiting = False
        self._asked = self._first_byte = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's inherits from none of asyncio's
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._head = self._tail = b""
        self._missing = None
        self._in_body = False
        self._first_byte = 0.0
        self._waiting = True
        self._asked = time.perf_counter()
        self._transport.write(self._call.request)

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            data = self._read_head(data)
        if not data:
            if self._in_body and self._missing == 0:
                self._answered()
            return
        if not self._first_byte:
            self._first_byte = time.perf_counter()
        self._tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing <= 0:
                self._answered()
        elif self._tail.endswith(b"\r\n0\r\n\r\n") or self._tail == b"0\r\n\r\n":
            self._answered()

    def _read_head(self, data: bytes) -> bytes:
        """What `data` holds beyond the head; empty while the head is incomplete."""
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return b""
        self._in_body = True
        self._head = head
        if found := _LENGTH.search(head):
            self._missing = int(found[1])
        elif not _CHUNKED.search(head):
            self._fail("an answer without a length")
            return b""
        return body

    def _answered(self) -> None:
        now = time.perf_counter()
        self._waiting = False
        tally = self._load.tally
        if (status := self._head[9:12]) != b"200":
            tally.errors[f"status {status.decode()}"] += 1
        elif self._call.ending not in self._tail:
            tally.errors["ended early"] += 1
        else:
            self._load.answered += 1
            tally.latencies.append((now - self._asked) * 1000)
            tally.first_bytes.append((self._first_byte - self._asked) * 1000)
        if self._load.is_over:
            self._close()
        else:
            self._ask()

    def _fail(self, reason: str) -> None:
        self._load.tally.errors[reason] += 1
        self._waiting = False
        self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._waiting and not self._load.is_abandoned:
            self._load.tally.errors["connection lost"] += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Load:
    """One measurement: `connections` that repeat one call, a warm-up that is discarded, then the window."""

    def __init__(self, call: Call, *, host: str, port: int, connections: int) -> None:
        self._call = call
        self._host = host
        self._port = port
        self._connections = connections
        self._reconnects = RECONNECTS
        self.tally = Tally()
        self.answered = 0  # all complete answers, warm-up and last ones included
        self.is_over = False
        self.is_abandoned = False

    async def run(
        self,
        *,
        seconds: float,
        warm_up: float,
        at_start: Callable[[], None] = lambda: None,
        at_end: Callable[[], None] = lambda: None,
    ) -> Tally:
        """The window's tally. `at_start` and `at_end` are called at its borders."""
        workers = [asyncio.create_task(self._keep_asking()) for _ in range(self._connections)]
        try:
            await asyncio.sleep(warm_up)
            gc.collect()
            gc.disable()
            warming, tally = self.tally, Tally()
            self.tally = tally
            at_start()
            started = time.perf_counter()
            await self._window(tally, seconds=seconds)
            tally.seconds = time.perf_counter() - started
            at_end()
            self.tally = Tally()
        finally:
            gc.enable()
            self.is_over = True
            await self._leave(workers)
        for outside in (warming, self.tally):  # before and after the window, but not out of sight
            tally.errors += outside.errors
        return tally

    async def _window(self, tally: Tally, *, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for _ in range(round((PATIENCE - 1) * 10)):
            if len(tally.latencies) >= FEWEST_CALLS:
                return
            await asyncio.sleep(seconds / 10)

    async def _keep_asking(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.is_over and self._reconnects > 0:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self._call, load=self), self._host, self._port
                )
            except OSError as error:
                self.tally.errors[f"no connection: {error.strerror}"] += 1
                self._reconnects -= 1
                await asyncio.sleep(0.05)
                continue
            try:
                await connection.closed
            finally:
                connection.abort()
            self._reconnects -= 1

    async def _leave(self, workers: list[asyncio.Task[None]]) -> None:
        _, late = await asyncio.wait(workers, timeout=LAST_ANSWERS_SECONDS)
        self.is_abandoned = True
        if late:
            self.tally.errors["no answer"] += len(late)
        for worker in late:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker
