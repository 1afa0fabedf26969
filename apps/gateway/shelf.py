"""Kept answers, and the calls that are fetching one: whoever asks the same meanwhile waits for the first.

In this process only: replicas share what is kept, not what is on its way.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from apps.gateway.kept import MOST_WRITES, Answer, Away, packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.gateway.kept import Key, Store

# Longer than most answers take. Who has waited so long asks for itself.
PATIENCE_SECONDS = 60.0


class Fate(Enum):
    """Of a call that brought no answer to share. AGAIN: another may have one. ALONE: everybody would fare the same."""

    AGAIN = "again"
    ALONE = "alone"


class Alike(NamedTuple):
    """What was given to other words that mean the same, as near as `likeness` (cosine)."""

    answer: Answer
    likeness: float


Flight = asyncio.Future[Answer | Alike | Fate]


class Found(NamedTuple):
    """`flight`: there is no answer, and whoever asked is the one to fetch it, and to `keep` or `land` it."""

    answer: Answer | None = None
    flight: Flight | None = None
    has_waited: bool = False
    likeness: float | None = None  # of an answer to other words


class Shelf:
    """Of one event loop."""

    def __init__(self, store: Store, *, patience: float = PATIENCE_SECONDS) -> None:
        self._store = store
        self._patience = patience
        self._flights: dict[Key, Flight] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._arriving: dict[Key, Answer] = {}  # that are not in the store yet

    @property
    def is_up(self) -> bool:
        return self._store.is_up

    @property
    def is_settled(self) -> bool:
        """Whether nothing is on its way to the store."""
        return not self._writes

    def start(self) -> None:
        self._store.start()

    async def close(self) -> None:
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._store.close()

    async def find(self, key: Key, *, is_fresh: Callable[[Answer], bool]) -> Found:
        """Waits for a call that is fetching the answer. If that fails, the first who notices takes its place."""
        loop = asyncio.get_running_loop()
        due, has_waited = loop.time() + self._patience, False
        while (flight := self._flights.get(key)) is not None:
            has_waited = True
            await asyncio.wait({flight}, timeout=due - loop.time())
            landed = flight.result() if flight.done() else Fate.ALONE
            likeness = None
            if isinstance(landed, Alike):
                landed, likeness = landed
            if isinstance(landed, Answer) and is_fresh(landed):
                return Found(landed, has_waited=has_waited, likeness=likeness)
            if landed is not Fate.AGAIN:
                return Found(has_waited=has_waited)
        flight = self._flights[key] = loop.create_future()
        try:
            kept = await self.peek(key)
        except Away:
            kept = None
        except BaseException:
            self.land(key, flight, Fate.AGAIN)
            raise
        if kept is None or not is_fresh(kept):
            return Found(flight=flight, has_waited=has_waited)
        self.land(key, flight, kept)
        return Found(kept, has_waited=has_waited)

    def keep(
        self, key: Key, flight: Flight | None, kept: Answer, *, ttl: float, then: Callable[[], None] | None = None
    ) -> None:
        """Who waits has it at once, and so has who comes before it is stored. `then`: when it is, if it is."""
        self._arriving[key] = kept
        if flight is not None:
            self.land(key, flight, kept)
        task = asyncio.create_task(self._put(key, kept, ttl=ttl, then=then))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _put(self, key: Key, kept: Answer, *, ttl: float, then: Callable[[], None] | None) -> None:
        try:
            if not self._store.is_up or len(self._writes) > MOST_WRITES:
                return
            if await self._store.put(key, await packed(kept), ttl=ttl) and then is not None:
                then()
        finally:
            if self._arriving.get(key) is kept:
                del self._arriving[key]

    async def peek(self, key: Key) -> Answer | None:
        """Without waiting for anybody. Raises Away."""
        return self._arriving.get(key) or await self._store.get(key)

    def land(self, key: Key, flight: Flight, landed: Answer | Alike | Fate) -> None:
        """Tells who waits. A flight lands once."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.done():
            flight.set_result(landed)
