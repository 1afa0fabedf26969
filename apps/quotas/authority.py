"""The database that budgets are leased from, asked in a thread of its own, one question at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError

from apps.domain import errors
from apps.domain.limits.credit import Keep
from apps.quotas import replicas, windows
from apps.runtime import gateways, standings
from apps.runtime.database import DatabaseThread
from apps.runtime.failpoints import failpoint

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

AWAY = (DatabaseError, InterfaceError)
AWAY_SECONDS = 0.5
# One that was killed, and its successor, live side by side for two beats; who does for so many is another.
BEATS_OF_ANOTHER = 4
# Who was last heard so long ago may have been written off, but for this margin: from then on it spends nothing.
MARGIN_SECONDS = 60.0
TRUSTED_SECONDS = (windows.DEAD_AFTER + windows.QUARANTINE).total_seconds() - MARGIN_SECONDS
# Goes on while the machine is suspended, where there is such a clock.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    return time.clock_gettime(_BOOTTIME)


class Authority:
    """As one replica. `on_fenced` is called when this process was taken for dead; it goes on under a new epoch.

    Until `trusted_until`, by `clock`, nobody can have given away what this process holds. `is_away`: the last question
    had no answer. `is_in_doubt`: more may have been granted than was heard of.
    """

    def __init__(
        self, name: str, *, shared: bool, on_fenced: Callable[[], Awaitable[None]], clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.epoch: int | None = None
        self.trusted_until = 0.0
        self.is_away = False
        self.is_in_doubt = False
        self._shared = shared
        self._on_fenced = on_fenced
        self._clock = clock
        self._away_until = 0.0
        self._beats_beside_others = 0
        self._thread = DatabaseThread("leases")

    async def acquire(self, asks: Sequence[windows.Ask], *, now: float) -> list[windows.Grant]:
        """Raises Unavailable; and for AWAY_SECONDS after that at once, so that those in line do not wait in turn."""
        if self._clock() < self._away_until:
            raise _unreachable()
        try:
            for _ in range(2):
                epoch = await self._registered()
                count = replicas.count() if self._shared else None
                question = partial(windows.acquire, asks, replica=self.name, epoch=epoch, now=now, replicas=count)
                try:
                    grants = await self._heard(question)
                    failpoint("lease.granted")
                    return grants
                except windows.Fenced:
                    await self._start_anew()
        except AWAY as error:
            self.is_away = self.is_in_doubt = True
            self._away_until = self._clock() + AWAY_SECONDS
            raise _unreachable() from error
        raise errors.Unavailable("this replica was fenced", retry_after=1)

    async def beat(self) -> None:
        """Says that this process lives, and hears how many do. Raises Fenced, and what the database raises."""
        try:
            epoch = await self._registered()
            told = {"standing": standings.told(), "about": gateways.said()}
            live = await self._heard(partial(windows.beat, self.name, epoch=epoch, **told))
            replicas.heard(live)
            self._look_round(live)
        except windows.Fenced:
            await self._start_anew()
            raise
        except Exception:
            self.is_away = True
            raise

    def _look_round(self, live: int) -> None:
        """Those of one folder keep each other out; those of several, with one database, can only be told."""
        self._beats_beside_others = self._beats_beside_others + 1 if live > 1 and not self._shared else 0
        if self._beats_beside_others == BEATS_OF_ANOTHER:
            told = "%d gateway processes live on this database without a Redis: each counts limits by itself; %s"
            log.warning(told, live, "set REDIS_URL for all of them, or run one")

    async def wanted(self) -> set[int]:
        return await self._ask(partial(windows.wanted, self.name))

    async def release(self, keeps: Mapping[int, Keep]) -> set[int]:
        return await self._ask(partial(windows.release, keeps)) if keeps else set()

    async def disown(self, *, known: Collection[int]) -> None:
        """Beside these leases there is none; each has what this process knows of, as `release` was asked just now."""
        await self._ask(partial(windows.disown, self.name, known=known))
        self.is_in_doubt = False

    async def depart(self, *, known: Collection[int]) -> None:
        if self.epoch is not None:
            await self._ask(partial(windows.depart, self.name, known=known))

    async def close(self) -> None:
        await self._thread.close()

    async def _heard(self, question: Callable[[], Answer]) -> Answer:
        """An answer says that this process was alive to the database after it had asked."""
        asked_at = self._clock()
        answer = await self._ask(question)
        self.trusted_until = asked_at + TRUSTED_SECONDS
        self.is_away = False
        return answer

    async def _start_anew(self) -> None:
        self.epoch = None
        await self._on_fenced()

    async def _registered(self) -> int:
        if self.epoch is None:
            self.epoch = await self._ask(partial(windows.register, self.name))
        return self.epoch

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await self._thread.ask(question)


def _unreachable() -> errors.Unavailable:
    return errors.Unavailable("the ledger cannot be reached", code="ledger_unavailable", retry_after=1)
