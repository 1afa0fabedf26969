"""Counters that all gateway processes share: one script, one round trip, and a process's own counters for bad days.

There is one connection. Whatever waits for it goes out in one pipeline, so many calls cost one trip. The server has
50 ms to answer; when it does not, calls are decided here, each replica with its share of every limit, and a probe in
the background finds out when the server is well again.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from apps.domain.limits import rate
from apps.domain.limits.decision import FREE, Charge, Decision, Kind
from apps.domain.snapshot import Limit
from apps.quotas import replicas
from apps.quotas.local_counters import LocalLimiter

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 0.05
CONNECT_SECONDS = 2.0
PROBE_SECONDS = (0.05, 0.2, 0.5, 1.0)
# A place is kept for so long after its process was last heard of.
PLACE_SECONDS = 60.0
RENEW_SECONDS = 20.0
_RENEW_AT_ONCE = 200
_KINDS: tuple[Kind, ...] = ("requests", "tokens", "concurrency")


class Script:
    def __init__(self, name: str) -> None:
        self.text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ACQUIRE, RELEASE, RENEW = Script("limits.lua"), Script("release.lua"), Script("renew.lua")


class Trip(msgspec.Struct):
    script: Script
    keys: list[str]
    arguments: list[Any]
    answer: asyncio.Future[list[int]] | None = None


class RedisLimiter:
    def __init__(self, url: str, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._redis = redis.Redis.from_url(
            url,
            protocol=2,  # HELLO fails on old servers and on some proxies
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=False,
            max_connections=4,
        )
        self._deadline = deadline
        self._local = LocalLimiter()
        self._name = replicas.name()
        self._numbers = itertools.count()
        self._waiting: list[Trip] = []
        self._wake = asyncio.Event()
        self._places: dict[str, list[str]] = {}
        self._working: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._has_started = False
        self._is_closing = False
        self.is_well = False

    async def start(self) -> None:
        """Waits for the first answer of the server, but not long. Called by the first calls too."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._working = asyncio.create_task(self._work())
        self._renewing = asyncio.create_task(self._renew())
        try:
            await self._probe()
        except (RedisError, OSError, TimeoutError) as error:
            self._fall_ill([], error)
        self._has_started = True

    async def close(self) -> None:
        """What has been released is told to the server. The worker ends by itself: the client can swallow a cancel."""
        self._is_closing = True
        self._wake.set()
        waiting = [task for task in (self._renewing, self._probing) if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, *([self._working] if self._working else []), return_exceptions=True)
        await self._redis.aclose()
        await asyncio.sleep(0)  # a connection that was cut closes in the loop's next turn

    async def acquire(self, limits: Sequence[Limit], *, tokens: int) -> Decision:
        if not limits:
            return FREE
        if not self._has_started:
            await self.start()
        if not self.is_well:
            return await self._decide_here(limits, tokens=tokens)
        ticket = f"{self._name}:{next(self._numbers)}"
        trip = _acquisition(limits, tokens=tokens, ticket=ticket)
        trip.answer = asyncio.get_running_loop().create_future()
        self._send(trip)
        try:
            answer = await trip.answer
        except Exception:
            return await self._decide_here(limits, tokens=tokens)
        except asyncio.CancelledError:
            self._send(Trip(RELEASE, trip.keys, [ticket, *(0, 0) * len(limits)]))
            raise
        decision = _decision(answer, tuple(limits), tokens=tokens, ticket=ticket)
        places = [_keys(limit)[1] for limit in limits if limit.concurrency is not None]
        if decision.allowed and places:
            self._places[ticket] = places
        return decision

    def release(self, decision: Decision, *, tokens_used: int | None = None) -> None:
        if not decision.held:
            return
        if decision.local:
            self._local.release(decision, tokens_used=tokens_used)
            return
        decision.held = False
        self._places.pop(decision.ticket, None)
        if self.is_well:
            self._send(_restitution(decision, tokens_used=tokens_used))

    async def _decide_here(self, limits: Sequence[Limit], *, tokens: int) -> Decision:
        """With this replica's share of each limit."""
        live = replicas.count()
        return await self._local.acquire([part_of(limit, live) for limit in limits], tokens=tokens)

    # --- the one connection ------------------------------------------------------------------------------------

    def _send(self, trip: Trip) -> None:
        self._waiting.append(trip)
        self._wake.set()

    async def _work(self) -> None:
        while self._waiting or not self._is_closing:
            await self._wake.wait()
            self._wake.clear()
            trips, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(self._deadline):
                    await self._travel(trips)
            except Exception as error:
                # Whatever it is, nobody may be left waiting.
                self._fall_ill(trips, error)

    async def _travel(self, trips: list[Trip]) -> None:
        unknown = await self._once(trips)
        if unknown:
            await self._load()
            if await self._once(unknown):
                raise NoScriptError("the server forgets its scripts")

    async def _once(self, trips: list[Trip]) -> list[Trip]:
        """Runs the scripts in one pipeline; returns those the server does not know."""
        pipeline = self._redis.pipeline(transaction=False)
        for trip in trips:
            pipeline.execute_command("EVALSHA", trip.script.digest, len(trip.keys), *trip.keys, *trip.arguments)
        unknown = []
        for trip, answer in zip(trips, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(answer, NoScriptError):
                unknown.append(trip)
            elif trip.answer is not None and not trip.answer.done():
                if isinstance(answer, Exception):
                    trip.answer.set_exception(answer)
                else:
                    trip.answer.set_result(answer)
        return unknown

    async def _load(self) -> None:
        for script in (ACQUIRE, RELEASE, RENEW):
            await self._redis.script_load(script.text)

    def _fall_ill(self, trips: list[Trip], error: Exception) -> None:
        """Fails whoever waits, so that nobody waits longer than the deadline, and begins to probe."""
        self.is_well = False
        if self._probing is None or self._probing.done():
            log.warning("limits are counted by this process alone: %s", str(error) or type(error).__name__)
            self._probing = asyncio.create_task(self._recover())
        waiting, self._waiting = self._waiting, []
        for trip in (*trips, *waiting):
            if trip.answer is not None and not trip.answer.done():
                trip.answer.set_exception(error)

    async def _recover(self) -> None:
        pauses = itertools.chain(PROBE_SECONDS, itertools.repeat(PROBE_SECONDS[-1]))
        while not (self.is_well or self._is_closing):
            await asyncio.sleep(next(pauses))
            try:
                await self._probe()
            except (RedisError, OSError, TimeoutError):
                continue
            log.warning("limits are shared again")

    async def _probe(self) -> None:
        """Has time to connect; then the server must be quick."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._redis.ping()
        async with asyncio.timeout(self._deadline):
            await self._load()
        self.is_well = True

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            held = [(place, ticket) for ticket, places in self._places.items() for place in places]
            for start in range(0, len(held) if self.is_well else 0, _RENEW_AT_ONCE):
                part = held[start : start + _RENEW_AT_ONCE]
                life = round(PLACE_SECONDS * 1_000_000)
                self._send(Trip(RENEW, [place for place, _ in part], [life, *(ticket for _, ticket in part)]))


@functools.lru_cache(maxsize=16384)
def part_of(limit: Limit, replicas: int) -> Limit:
    """A replica's part of a limit, at least one of each."""
    if replicas <= 1:
        return limit

    def part(whole: int | None) -> int | None:
        return None if whole is None else max(1, whole // replicas)

    return msgspec.structs.replace(
        limit,
        requests_per_minute=part(limit.requests_per_minute),
        tokens_per_minute=part(limit.tokens_per_minute),
        concurrency=part(limit.concurrency),
    )


@functools.lru_cache(maxsize=16384)
def _keys(limit: Limit) -> tuple[str, str]:
    """One hash tag for all: a call's limits must lie in one slot of a cluster."""
    return f"weir:{{limits}}:{limit.key}", f"weir:{{limits}}:{limit.key}:places"


def _acquisition(limits: Sequence[Limit], *, tokens: int, ticket: str) -> Trip:
    keys: list[str] = []
    arguments: list[Any] = [tokens, ticket, round(PLACE_SECONDS * 1_000_000)]
    for limit in limits:
        keys += _keys(limit)
        arguments += (limit.requests_per_minute or 0, limit.tokens_per_minute or 0, limit.concurrency or 0)
    return Trip(ACQUIRE, keys, arguments)


def _decision(answer: list[int], limits: tuple[Limit, ...], *, tokens: int, ticket: str) -> Decision:
    allowed, now, index, kind, wait, *meters = answer
    stands = [(limit, meters[2 * i], meters[2 * i + 1]) for i, limit in enumerate(limits)]
    requests, tightest = rate.tightest_of(stands, now=now)
    if not allowed:
        return Decision(
            False, limits[index - 1], _KINDS[kind - 1], wait / 1_000_000, requests, tightest, local=False, held=False
        )
    charges = tuple(
        Charge(limit, min(tokens, limit.tokens_per_minute), mark)
        for limit, _, mark in stands
        if limit.tokens_per_minute is not None
    )
    return Decision(True, None, None, 0.0, requests, tightest, limits, charges, ticket, local=False)


def _restitution(decision: Decision, *, tokens_used: int | None) -> Trip:
    moves: dict[str, tuple[int, int]] = {}
    for charge in decision.charges if tokens_used is not None else ():
        assert charge.limit.tokens_per_minute is not None
        assert tokens_used is not None
        unused = rate.share(abs(charge.amount - tokens_used), per_minute=charge.limit.tokens_per_minute)
        moves[charge.limit.key] = (unused if charge.amount >= tokens_used else -unused, charge.mark)
    keys: list[str] = []
    arguments: list[Any] = [decision.ticket]
    for limit in decision.limits:
        keys += _keys(limit)
        arguments += moves.get(limit.key, (0, 0))
    return Trip(RELEASE, keys, arguments)
