"""Threads that read what is long, a slice at a time, so that nobody's long body holds up the others'.

Tenants take turns at them however many bodies each has, and a tenant's bodies take turns at its own; what one tenant
has in hand at once is bounded, as it is many times as large when it is decoded: small bodies by their number, as they
need not wait for long ones. What all tenants have in hand together is bounded too; they take turns at that room. In
between two passages a thread lets the event loop go on: a thread that only computes would give way after five
milliseconds.
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
    _Ran = tuple[bool, Any, float]  # whether it is done, with what, and else what of a processor it took

SLICE_SECONDS = 0.025
PAUSE_SECONDS = 0.000_05
MOST_BYTES = 64 * 1024 * 1024  # of one tenant's in hand; one body is always
SMALL_BYTES = 1024 * 1024  # goes before the tenant's others
MOST_SMALL = 64  # of one tenant's in hand
MOST_IN_ALL = 96 * 1024 * 1024  # of all tenants' in hand, one body is always; and as much of small ones


class TooLong(Exception):
    """It took more than its seconds."""


class _Job:
    __slots__ = ("has_thread", "is_begun", "is_small", "running", "size", "spent", "tenant_id", "turn")

    def __init__(self, tenant_id: int, size: int) -> None:
        self.tenant_id = tenant_id
        self.size = size
        self.is_small = size <= SMALL_BYTES
        self.is_begun = False
        self.spent = 0.0  # seconds of a processor
        self.turn: asyncio.Future[None] | None = None
        self.has_thread = False
        self.running: asyncio.Future[_Ran] | None = None


class Readers:
    """On one event loop. `threads`: of what only computes, a second one would but contend with the first."""

    def __init__(self, threads: int) -> None:
        self._free = threads
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader")
        self._door: Line[_Job] = Line()  # for a place among those in hand
        self._line: Line[_Job] = Line()  # of those in hand, for a thread
        self._held: Counter[int] = Counter()  # bytes in hand, by tenant; without small bodies
        self._small: Counter[int] = Counter()  # small bodies in hand, by tenant
        self._bytes: Counter[bool] = Counter()  # in hand, of all; by whether they are small bodies'
        self._due: _Job | None = None  # a large one that no other goes before: else it would never find room

    async def run(self, work: Generator[None, None, T], *, tenant_id: int, size: int, seconds: float) -> T:
        """What `work` returns, which yields wherever it may be left for a while. `seconds` of a processor it may take.
        Raises TooLong, and what `work` raises."""
        job = _Job(tenant_id, size)
        try:
            await self._come_in(job)
            while True:
                await self._turn(job)
                job.running = asyncio.get_running_loop().run_in_executor(self._pool, _advance, work)
                is_done, value, spent = await asyncio.shield(job.running)
                if is_done:
                    return value  # type: ignore[no-any-return]
                job.spent += spent
                if job.spent > seconds:
                    raise TooLong
        finally:
            if job.is_begun:
                self._hold(job, -1)
            self._open()
            if not job.has_thread:
                self._call()
            elif job.running is None:
                self._give_back()
            else:  # free when it is done, whether or not somebody still waits for it
                job.running.add_done_callback(self._give_back)

    async def _come_in(self, job: _Job) -> None:
        job.turn = asyncio.get_running_loop().create_future()
        self._door.enter(job, tenant_id=job.tenant_id, places=sys.maxsize, since=0.0, priority=job.is_small)
        self._open()
        try:
            await job.turn
        finally:
            self._door.leave(job)
            if self._due is job:
                self._due = None

    def _open(self) -> None:
        """To those whose turn it is and who have room."""
        while (job := self._door.next(self._may)) is not None:
            assert job.turn is not None
            if self._due is job:
                self._due = None
            if job.turn.cancelled():
                continue
            job.is_begun = True
            self._hold(job, 1)
            job.turn.set_result(None)

    def _may(self, job: _Job) -> bool:
        is_room = not self._bytes[job.is_small] or self._bytes[job.is_small] + job.size <= MOST_IN_ALL
        if job.is_small:
            return is_room and self._small[job.tenant_id] < MOST_SMALL
        held = self._held[job.tenant_id]
        if self._due not in (None, job) or (held and held + job.size > MOST_BYTES):
            return False
        if not is_room:
            self._due = job
        return is_room

    def _hold(self, job: _Job, sign: int) -> None:
        self._bytes[job.is_small] += sign * job.size
        held, amount = (self._small, 1) if job.is_small else (self._held, job.size)
        held[job.tenant_id] += sign * amount
        if not held[job.tenant_id]:
            del held[job.tenant_id]

    async def _turn(self, job: _Job) -> None:
        """It lines up again before it leaves its thread: else who waits already would go twice."""
        job.turn = asyncio.get_running_loop().create_future()
        cost = 1 + int(job.spent)  # who has had much goes less often
        self._line.enter(job, tenant_id=job.tenant_id, places=sys.maxsize, since=0.0, cost=cost)
        if job.has_thread:
            job.has_thread, job.running = False, None
            self._free += 1
        self._call()
        try:
            await job.turn
        finally:
            self._line.leave(job)

    def _call(self) -> None:
        """Those whose turn it is."""
        while self._free and (job := self._line.next()) is not None:
            assert job.turn is not None
            if job.turn.cancelled():
                continue
            self._free -= 1
            job.has_thread = True
            job.turn.set_result(None)

    def _give_back(self, ran: asyncio.Future[_Ran] | None = None) -> None:
        if ran is not None and not ran.cancelled():
            ran.exception()  # its caller may have left, and then nobody else asks
        self._free += 1
        self._call()


def _advance(work: Generator[None, None, Any]) -> _Ran:
    """For a slice."""
    began, until = time.thread_time(), time.perf_counter() + SLICE_SECONDS
    try:
        while True:
            next(work)
            if time.perf_counter() >= until:
                return False, None, time.thread_time() - began
            time.sleep(PAUSE_SECONDS)
    except StopIteration as stop:
        return True, stop.value, 0.0
