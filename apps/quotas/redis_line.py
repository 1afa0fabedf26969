"""The one connection to the shared counters: scripts go out in pipelines, under a deadline and a breaker.

Whatever waits goes out together, so many calls cost one trip. When the server misses the deadline or answers that it
cannot serve, the line is down: nobody waits for it again until a probe, one at a time and ever more seldom, has found
that it writes and is quick.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hiredis
import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from apps.runtime.state import state

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 0.05
CONNECT_SECONDS = 2.0
PROBE_SECONDS = (0.05, 0.2, 0.5, 1.0)
# A line that is down again sooner than this was not well: its probes go on where they were.
STEADY_SECONDS = 5.0
# More would take a slow machine longer than the deadline: of trips that are waited for, and of others.
PIPELINE_TRIPS, PIPELINE_OTHERS = 200, 100
_RUN = "EVALSHA"
_PROBED = "weir:{limits}:probe"


class Script:
    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ACQUIRE, RELEASE, RENEW = Script("limits.lua"), Script("release.lua"), Script("renew.lua")
STANDS = Script("stands.lua")


class Trip(msgspec.Struct):
    """One run of a script. `answer` None: nobody waits, and those who do go first. `sent_at` on the loop's clock."""

    script: Script
    keys: list[str]
    arguments: list[Any]
    answer: asyncio.Future[list[int]] | None = None
    sent_at: float = 0.0


class Line:
    """`on_up` is asked for trips to begin with whenever the server is well again; `on_lost` is told of trips that may
    have been made, or not, and of those that were not."""

    def __init__(
        self,
        url: str,
        *,
        deadline: float,
        on_up: Callable[[], Iterable[Trip]],
        on_lost: Callable[[list[Trip], list[Trip]], None],
    ) -> None:
        pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,  # HELLO fails on old servers and on some proxies
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
        )
        pool.connection_class = _packing_in_c(pool.connection_class)
        self._redis = redis.Redis.from_pool(pool)
        self._deadline = deadline
        self._on_up = on_up
        self._on_lost = on_lost
        self._waiting: deque[Trip] = deque()
        self._others: deque[Trip] = deque()
        self._wake = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probes = 0  # since it was last steady
        self._up_at = 0.0
        self._is_closing = False
        self.has_started = False
        self.is_up = False

    async def start(self) -> None:
        """Waits for the first answer of the server, but not long. Called by the first calls too."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._working = asyncio.create_task(self._work())
        try:
            await self._probe()
        except (RedisError, OSError, TimeoutError) as error:
            self._go_down([], error)
        self.has_started = True

    async def close(self) -> None:
        """What has been sent is told to the server. The worker ends by itself: the client can swallow a cancel."""
        self._is_closing = True
        self._wake.set()
        if self._probing is not None:
            self._probing.cancel()
        waiting = [task for task in (self._probing, self._working) if task is not None]
        await asyncio.gather(*waiting, return_exceptions=True)
        await self._redis.aclose()
        await asyncio.sleep(0)  # a connection that was cut closes in the loop's next turn

    def send(self, trip: Trip) -> None:
        trip.sent_at = asyncio.get_running_loop().time()
        (self._others if trip.answer is None else self._waiting).append(trip)
        self._wake.set()

    # --- at work -----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or self._others or not self._is_closing:
            await self._wake.wait()
            waiting = [self._waiting.popleft() for _ in range(min(len(self._waiting), PIPELINE_TRIPS))]
            others = [self._others.popleft() for _ in range(min(len(self._others), PIPELINE_OTHERS))]
            if not self._waiting and not self._others:
                self._wake.clear()
            trips, now = waiting + others, loop.time()
            if not trips:
                continue
            # The first has waited already, for the pipeline before this one.
            due = (
                max(waiting[0].sent_at + self._deadline, now + self._deadline / 5) if waiting else now + self._deadline
            )
            try:
                async with asyncio.timeout_at(due):
                    await self._travel(trips)
            except Exception as error:
                # Whatever it is, nobody may be left waiting. A loop that was late itself says nothing of the server.
                is_ours = isinstance(error, TimeoutError) and loop.time() - due > self._deadline
                self._fail(trips, error) if is_ours else self._go_down(trips, error)

    async def _travel(self, trips: list[Trip]) -> None:
        unknown = await self._once(trips)
        if unknown:
            await self._load()
            if await self._once(unknown):
                raise NoScriptError("the server forgets its scripts")

    async def _once(self, trips: list[Trip]) -> list[Trip]:
        """Runs the scripts in one pipeline; returns those the server does not know. Raises what says that it cannot
        serve: a replica that takes no writes, a server without memory or still loading."""
        pipeline = self._redis.pipeline(transaction=False)
        for trip in trips:
            pipeline.execute_command(_RUN, trip.script.digest, len(trip.keys), *trip.keys, *trip.arguments)
        unknown: list[Trip] = []
        failure: Exception | None = None
        for trip, answer in zip(trips, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(answer, NoScriptError):
                unknown.append(trip)
            elif isinstance(answer, Exception):
                if not _is_of_the_key(answer):
                    failure = answer
                _fail(trip, answer)
            elif trip.answer is not None and not trip.answer.done():
                trip.answer.set_result(answer)
        if failure is not None:
            raise failure
        return unknown

    async def _load(self) -> None:
        for script in (ACQUIRE, RELEASE, RENEW, STANDS):
            await self._redis.script_load(script.text)

    # --- out of order ------------------------------------------------------------------------------------------

    def _go_down(self, trips: list[Trip], error: Exception) -> None:
        """Fails whoever waits, so that nobody waits longer than the deadline, and begins to probe."""
        self.is_up = state.limiter_shared = False
        unsent = [*self._waiting, *self._others]
        self._waiting.clear()
        self._others.clear()
        self._fail(trips, error, unsent)
        if self._probing is None or self._probing.done():
            log.warning("limits are counted by this process alone: %s", str(error) or type(error).__name__)
            self._probing = asyncio.create_task(self._recover())

    def _fail(self, trips: list[Trip], error: Exception, unsent: list[Trip] | None = None) -> None:
        for trip in (*trips, *(unsent or ())):
            _fail(trip, error)
        self._on_lost(trips, unsent or [])

    async def _recover(self) -> None:
        """Not in step with the other processes that lost the same server."""
        if asyncio.get_running_loop().time() - self._up_at > STEADY_SECONDS:
            self._probes = 0
        while not (self.is_up or self._is_closing):
            pause = PROBE_SECONDS[min(self._probes, len(PROBE_SECONDS) - 1)]
            self._probes += 1
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # spreads load, hides nothing
            try:
                await self._probe()
            except (RedisError, OSError, TimeoutError):
                continue
            log.warning("limits are shared again")

    async def _probe(self) -> None:
        """Has time to connect; then the server must be quick, know the scripts, and write."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._redis.ping()
        async with asyncio.timeout(self._deadline):
            await self._load()
            await self._redis.evalsha(RENEW.digest, 1, _PROBED, 1000, "nobody")
        self.is_up = state.limiter_shared = True
        self._up_at = asyncio.get_running_loop().time()
        for trip in self._on_up():
            self.send(trip)


def _packing_in_c(kind: type[Any]) -> type[Any]:
    """A kind of connection that packs scripts' commands, of two dozen parts, as hiredis does: the client itself takes
    five times as long, which was half of what a call's limits cost."""

    def pack_command(self: Any, *parts: Any) -> list[bytes]:
        if parts[0] == _RUN:
            return [hiredis.pack_command(parts)]
        packed: list[bytes] = kind.pack_command(self, *parts)
        return packed

    return type(f"Quick{kind.__name__}", (kind,), {"pack_command": pack_command})


def _fail(trip: Trip, error: Exception) -> None:
    if trip.answer is not None and not trip.answer.done():
        trip.answer.set_exception(error)


def _is_of_the_key(answer: Exception) -> bool:
    """Somebody else's value lies under the key: that is that limit's trouble only."""
    return isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer)
