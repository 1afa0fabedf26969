"""Counters that all gateway processes share: one script, one round trip, and a process's own counters for bad days.

The server has 50 ms to answer. When it does not, calls are decided here, each replica with its share of every limit;
the share begins as full as the shared counters were when they were last seen.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from redis.exceptions import RedisError

from apps.domain import errors
from apps.domain.limits import rate
from apps.domain.limits.decision import FREE, Charge, Decision, Kind, Stand
from apps.domain.snapshot import Limit, Outage
from apps.quotas import replicas
from apps.quotas.local_counters import LocalLimiter
from apps.quotas.redis_line import ACQUIRE, DEADLINE_SECONDS, RELEASE, RENEW, STANDS, Line, Trip
from apps.runtime.state import state

# A place is kept for so long after its process was last heard of.
PLACE_SECONDS = 60.0
RENEW_SECONDS = 20.0
_RENEW_AT_ONCE = 200
_MOST_OWED = 10_000
_KINDS: tuple[Kind, ...] = ("requests", "tokens", "concurrency")


class RedisLimiter:
    def __init__(self, url: str, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._line = Line(url, deadline=deadline, on_up=self._resume, on_lost=self._owe)
        self._local = LocalLimiter()
        self._name = replicas.name()
        self._numbers = itertools.count()
        self._places: dict[str, list[str]] = {}  # of calls under way, however they were decided
        self._owed: deque[Trip] = deque(maxlen=_MOST_OWED)  # for the server, when it is back
        self._renewing: asyncio.Task[None] | None = None

    @property
    def is_well(self) -> bool:
        return self._line.is_up

    async def start(self) -> None:
        """Waits for the first answer of the server, but not long. Called by the first calls too."""
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        await self._line.start()

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._line.close()

    async def acquire(self, limits: Sequence[Limit], *, tokens: int, on_outage: Outage = "lease") -> Decision:
        if not limits:
            return FREE
        line = self._line
        if not line.has_started:
            await self.start()
        ticket = f"{self._name}:{next(self._numbers)}"
        if not line.is_up:
            return await self._decide_here(limits, tokens=tokens, ticket=ticket, on_outage=on_outage)
        trip = _acquisition(limits, tokens=tokens, ticket=ticket)
        trip.answer = asyncio.get_running_loop().create_future()
        line.send(trip)
        try:
            answer = await trip.answer
        except Exception:
            return await self._decide_here(limits, tokens=tokens, ticket=ticket, on_outage=on_outage)
        except asyncio.CancelledError:
            self._tell(_freeing(trip))
            raise
        decision = _decision(answer, tuple(limits), tokens=tokens, ticket=ticket)
        self._local.mirror(limits, answer[5:], now=answer[1], admitted=decision.allowed)
        if decision.allowed:
            self._hold(limits, ticket)
        return decision

    async def stands(self, limits: Sequence[Limit]) -> list[Stand] | None:
        """As the server has it."""
        if not self._line.has_started:
            await self.start()
        if not self._line.is_up:
            return None
        trip = Trip(STANDS, [key for limit in limits for key in _keys(limit)], [])
        trip.answer = asyncio.get_running_loop().create_future()
        self._line.send(trip)
        try:
            now, *told = await trip.answer
        except (RedisError, OSError, TimeoutError):
            return None
        return [
            rate.stand_of(limit, requests=requests, tokens=tokens, in_flight=in_flight, now=now)
            for limit, requests, tokens, in_flight in zip(limits, told[::3], told[1::3], told[2::3], strict=True)
        ]

    def release(self, decision: Decision, *, tokens_used: int | None = None) -> None:
        if not decision.held:
            return
        is_placed = self._places.pop(decision.ticket, None) is not None
        if decision.local:
            self._local.release(decision, tokens_used=tokens_used)
            if is_placed:  # the server may have heard of it meanwhile
                self._tell(_restitution(decision, tokens_used=None))
            return
        decision.held = False
        self._local.leave(decision.limits)
        self._tell(_restitution(decision, tokens_used=tokens_used))

    async def _decide_here(self, limits: Sequence[Limit], *, tokens: int, ticket: str, on_outage: Outage) -> Decision:
        """With this replica's share of each limit, or as the tenant wants it."""
        state.limits_decided_alone += 1
        if on_outage == "closed":
            raise errors.Unavailable("limits cannot be counted right now", code="limits_unavailable", retry_after=1)
        if on_outage == "open":
            return FREE
        live = replicas.count()
        decision = await self._local.acquire([part_of(limit, live) for limit in limits], tokens=tokens)
        if decision.allowed:
            decision.ticket = ticket
            self._hold(limits, ticket)
        return decision

    def _hold(self, limits: Sequence[Limit], ticket: str) -> None:
        if places := [_keys(limit)[1] for limit in limits if limit.concurrency is not None]:
            self._places[ticket] = places

    # --- what the server must hear of --------------------------------------------------------------------------

    def _tell(self, trip: Trip) -> None:
        """At once, or when it is back."""
        if self._line.is_up:
            self._line.send(trip)
        else:
            trip.sent_at = asyncio.get_running_loop().time()
            self._owed.append(trip)

    def _owe(self, made: list[Trip], unmade: list[Trip]) -> None:
        """Of what may have been made, places are given up again: that does no harm twice. A call that was decided here
        for want of an answer takes its own place again when the server is back."""
        for trip in made:
            if trip.script is not RENEW:
                self._tell(_freeing(trip))
        for trip in unmade:
            if trip.script is RELEASE:
                self._tell(trip)

    def _resume(self) -> Iterator[Trip]:
        """What ended meanwhile is given back, unless its time has passed; what still runs takes its places again,
        which the server may have forgotten or never known."""
        oldest = asyncio.get_running_loop().time() - PLACE_SECONDS
        owed, self._owed = self._owed, deque(maxlen=_MOST_OWED)
        yield from (trip for trip in owed if trip.sent_at >= oldest)
        yield from self._renewals()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for trip in self._renewals() if self._line.is_up else ():
                self._line.send(trip)

    def _renewals(self) -> Iterator[Trip]:
        held = [(place, ticket) for ticket, places in self._places.items() for place in places]
        life = round(PLACE_SECONDS * 1_000_000)
        for start in range(0, len(held), _RENEW_AT_ONCE):
            part = held[start : start + _RENEW_AT_ONCE]
            yield Trip(RENEW, [place for place, _ in part], [life, *(ticket for _, ticket in part)])


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


def _freeing(trip: Trip) -> Trip:
    """Gives up the places of a call's trip, and moves no meter."""
    ticket = trip.arguments[1] if trip.script is ACQUIRE else trip.arguments[0]
    return Trip(RELEASE, trip.keys, [ticket, *(0, 0) * (len(trip.keys) // 2)], sent_at=trip.sent_at)
