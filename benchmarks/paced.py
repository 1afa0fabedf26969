"""Streams at the pace of life: how much later each event arrives than the provider wrote it.

Both ends read one clock (the machine's monotonic one), and each event carries the moment at which it left.
"""

from __future__ import annotations

import asyncio
import collections
import re
import time
from dataclasses import dataclass, field

from benchmarks.wire import Call

_STAMP = re.compile(rb'"(\d{19})"')
_LONGEST_STAMP = 21
SETTLING_SECONDS = 1.0  # until all streams have begun


@dataclass
class Paced:
    """Milliseconds that each event was on its way; those of the first second are left out."""

    latencies: list[float] = field(default_factory=list)
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0


class _Stream(asyncio.Protocol):
    def __init__(self, call: Call, *, paced: Paced, counts_from: float) -> None:
        self._call = call
        self._paced = paced
        self._counts_from = counts_from
        self._rest = b""
        self._begun = self._ended = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._call.request)  # type: ignore[attr-defined]  # uvloop's inherits from none of asyncio's

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self._begun:
            self._begun = True
            if data[9:12] != b"200":
                self._paced.errors[f"status {data[9:12].decode('latin-1')}"] += 1
                self._transport.close()
                return
        seen = self._rest + data
        end = 0
        for stamp in _STAMP.finditer(seen):
            end = stamp.end()
            if now >= self._counts_from * 1e9:
                self._paced.latencies.append((now - int(stamp[1])) / 1e6)
        self._rest = seen[max(end, len(seen) - _LONGEST_STAMP) :]
        if self._call.ending in data:
            self._ended = True
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._ended:
            self._paced.errors["ended early"] += 1
        if not self.closed.done():
            self.closed.set_result(None)


async def paced(call: Call, *, host: str, port: int, streams: int, patience: float) -> Paced:
    """So many streams at once, begun evenly over the first second, each read to its end."""
    loop, result, started = asyncio.get_running_loop(), Paced(), time.monotonic()
    running = []
    for number in range(streams):
        stream = _Stream(call, paced=result, counts_from=started + SETTLING_SECONDS)
        await asyncio.sleep(max(0.0, started + SETTLING_SECONDS * number / streams - time.monotonic()))
        await loop.create_connection(lambda each=stream: each, host, port)  # type: ignore[misc]
        running.append(stream)
    _, late = await asyncio.wait([stream.closed for stream in running], timeout=patience)
    if late:
        result.errors["not over in time"] += len(late)
    result.seconds = time.monotonic() - started - SETTLING_SECONDS
    return result
