"""Streams that have begun and then say nothing: what each of them costs in memory."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from benchmarks.wire import Call

EVENTS_BEFORE_SILENCE = 2
OPENING_AT_ONCE = 16


@dataclass
class Held:
    """Milliseconds until the second event of each stream that is open; and why others are not."""

    waits: list[float] = field(default_factory=list)
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0  # that opening all of them took


@contextlib.asynccontextmanager
async def held(call: Call, *, host: str, port: int, streams: int, seconds: float) -> AsyncIterator[Held]:
    """So many streams, open as long as the block lasts. Opening them may take `seconds`."""
    result = Held()
    writers: list[asyncio.StreamWriter] = []
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    started = time.perf_counter()

    async def open_one() -> None:
        async with gate:
            asked = time.perf_counter()
            reader, writer = await asyncio.open_connection(host, port, limit=4096)
            writers.append(writer)
            writer.write(call.request)
            if (status := (await reader.readuntil(b"\r\n"))[9:12]) != b"200":
                raise ValueError(f"status {status.decode()}")
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(EVENTS_BEFORE_SILENCE):
                await reader.readuntil(b"\n\n")
            result.waits.append((time.perf_counter() - asked) * 1000)

    openings = [asyncio.create_task(open_one()) for _ in range(streams)]
    try:
        done, late = await asyncio.wait(openings, timeout=seconds)
        result.seconds = time.perf_counter() - started
        result.errors += collections.Counter(_reason(each) for each in done if each.exception() is not None)
        if late:
            result.errors["not open in time"] += len(late)
        yield result
    finally:
        for opening in openings:
            opening.cancel()
        for writer in writers:
            writer.transport.abort()


def _reason(opening: asyncio.Task[None]) -> str:
    error = opening.exception()
    return str(error) if isinstance(error, ValueError) else type(error).__name__
