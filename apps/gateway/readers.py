"""Threads that read what is long, a slice at a time, so that nobody's long body holds up the others'.

Tenants take turns at them however many bodies each has, and a tenant's bodies take turns at its own; what one tenant
has in hand at once is bounded, as it is many times as large when it is decoded. In between two passages a thread lets
the event loop go on: a thread that only computes would give way after five milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from apps.domain.routing.waiting import Line

if TYPE_CHECKING:
    from collections.abc import Generator

    T = TypeVar("T")

SLICE_SECONDS = 0.025
PAUSE_SECONDS = 0.000_05
MOST_BYTES = 64 * 1024 * 1024  # of one tenant's in hand; one body is always
SMALL_BYTES = 1024 * 1024  # goes before the tenant's others


class TooLong(Exception):
    """It took more than its seconds."""


class _Job:
    __slots__ = ("is_begun", "size", "tenant_id", "turn")

    def __init__(self, tenant_id: int, size: int) -> None:
        self.tenant_id = tenant_id
        self.size = size
        self.is_begun = False
        self.turn: asyncio.Future[None] | None = None


class Readers:
    """On one event loop."""

    def __init__(self, threads: int) -> None:
        self._free = threads
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader")
        self._line: Line[_Job] = Line()
        self._held: Counter[int] = Counter()  # bytes in hand, by tenant

    async def run(self, work: Generator[None, None, T], *, tenant_id: int, size: int, seconds: float) -> T:
        """What `work` returns, which yields wherever it may be left for a while. `seconds` of a processor it may take.
        Raises TooLong, and what `work` raises."""
        job = _Job(tenant_id, size)
        try:
            while True:
                await self._turn(job)
                is_done, value, spent = await self._slice(work)
                if is_done:
                    return value  # type: ignore[no-any-return]
                seconds -= spent
                if seconds < 0:
                    raise TooLong
        finally:
            if job.is_begun:
                self._held[tenant_id] -= size
                if not self._held[tenant_id]:
                    del self._held[tenant_id]
                self._call()

    async def _turn(self, job: _Job) -> None:
        job.turn = asyncio.get_running_loop().create_future()
        is_early = job.is_begun or job.size <= SMALL_BYTES
        self._line.enter(job, tenant_id=job.tenant_id, places=sys.maxsize, since=0.0, priority=is_early)
        self._call()
        try:
            await job.turn
        except asyncio.CancelledError:
            if job in self._line:
                self._line.leave(job)
            else:
                self._give_back()
            raise

    def _call(self) -> None:
        """Those whose turn it is."""
        while self._free and (job := self._line.next(self._may)) is not None:
            self._free -= 1
            if not job.is_begun:
                job.is_begun = True
                self._held[job.tenant_id] += job.size
            assert job.turn is not None
            job.turn.set_result(None)

    def _may(self, job: _Job) -> bool:
        held = self._held[job.tenant_id]
        return job.is_begun or not held or job.size <= SMALL_BYTES or held + job.size <= MOST_BYTES

    def _give_back(self, _: object = None) -> None:
        self._free += 1
        self._call()

    async def _slice(self, work: Generator[None, None, Any]) -> tuple[bool, Any, float]:
        """Its thread is free when it is done, whether or not somebody still waits for it."""
        running = asyncio.get_running_loop().run_in_executor(self._pool, _advance, work)
        running.add_done_callback(self._give_back)
        return await asyncio.shield(running)


def _advance(work: Generator[None, None, Any]) -> tuple[bool, Any, float]:
    began, until = time.thread_time(), time.perf_counter() + SLICE_SECONDS
    try:
        while time.perf_counter() < until:
            next(work)
            time.sleep(PAUSE_SECONDS)
    except StopIteration as stop:
        return True, stop.value, 0.0
    return False, None, time.thread_time() - began
