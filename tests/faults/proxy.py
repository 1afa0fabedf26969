"""A TCP proxy that breaks what passes through it, in a thread and an event loop of its own.

Every method returns when its effect is there. A fault is one of connections already open too, and lasts until `heal`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
_ABORTIVE = struct.pack("ii", 1, 0)
Found = TypeVar("Found")


class Proxy:
    """Before the server that `url` names; `self.url` is the same with the proxy's own port."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self.target = (parts.hostname or "127.0.0.1", parts.port)
        self.delay_seconds = 0.0
        self.bytes_per_second = 0
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.flows = asyncio.Event()
        self.flows.set()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        credentials, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    def delay(self, seconds: float) -> None:
        """Every chunk arrives so much later, in both directions."""
        self.delay_seconds = seconds

    def throttle(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second

    def hold(self) -> None:
        """A partition: nothing arrives until `heal`, and then all of it. New connections open and hear nothing."""
        self._do(self._later(self.flows.clear))

    def swallow(self) -> None:
        """Half open: what is sent on the connections there are goes nowhere, and nobody is told. `heal` resets them,
        as the system does with a peer that has been silent for too long."""
        self._do(self._later(lambda: [pair.swallow() for pair in self._pairs]))

    def reset(self) -> None:
        """An RST to both sides of every connection. New ones are taken."""
        self._do(self._later(lambda: [pair.reset() for pair in list(self._pairs)]))

    def refuse(self) -> None:
        """Nobody listens any more; the connections there are get an RST."""
        self._do(self._later(self._server.close))
        self.reset()

    def heal(self) -> None:
        self.delay_seconds, self.bytes_per_second = 0.0, 0
        self._do(self._later(self.flows.set))
        self._do(self._later(lambda: [pair.reset() for pair in list(self._pairs) if pair.swallows]))
        if not self._server.is_serving():
            self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def close(self) -> None:
        self.refuse()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[object, object, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _later(self, work: Callable[[], object]) -> None:
        work()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(self, here=(reader, writer), there=there)
        self._pairs.add(pair)
        with contextlib.suppress(asyncio.CancelledError):  # only when the proxy is closed
            await pair.run()
        self._pairs.discard(pair)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pair:
    """One client's connection and the one behind it."""

    def __init__(self, proxy: Proxy, *, here: _End, there: _End) -> None:
        self._proxy = proxy
        self._ends = (here, there)
        self.swallows = False

    async def run(self) -> None:
        (here, answer), (there, question) = self._ends
        try:
            await asyncio.gather(self._pump(here, question), self._pump(there, answer))
        finally:
            for _, writer in self._ends:
                writer.transport.abort()

    def swallow(self) -> None:
        self.swallows = True

    def reset(self) -> None:
        for _, writer in self._ends:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """An end is passed on as what it is, an end or a reset."""
        try:
            while chunk := await source.read(CHUNK):
                await self._wait(len(chunk))
                if not self.swallows:
                    sink.write(chunk)
                    await sink.drain()
            if not self.swallows and sink.can_write_eof():
                sink.write_eof()
        except OSError:
            if not self.swallows:
                self.reset()

    async def _wait(self, size: int) -> None:
        await self._proxy.flows.wait()
        pause = self._proxy.delay_seconds
        if self._proxy.bytes_per_second:
            pause += size / self._proxy.bytes_per_second
        if pause:
            await asyncio.sleep(pause)
