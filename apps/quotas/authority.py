"""The database that budgets are leased from, asked in a thread of its own, one question at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from apps.domain import errors
from apps.domain.limits.credit import Keep
from apps.quotas import replicas, windows

Answer = TypeVar("Answer")

AWAY = (DatabaseError, InterfaceError)
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
    had no answer.
    """

    def __init__(self, name: str, *, shared: bool, on_fenced: Callable[[], None], clock: Callable[[], float]) -> None:
        self.name = name
        self.epoch: int | None = None
        self.trusted_until = 0.0
        self.is_away = False
        self._shared = shared
        self._on_fenced = on_fenced
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="leases")

    async def acquire(self, asks: Sequence[windows.Ask], *, now: float) -> list[windows.Grant]:
        """Raises Unavailable."""
        try:
            for _ in range(2):
                epoch = await self._registered()
                count = replicas.count() if self._shared else None
                question = partial(windows.acquire, asks, replica=self.name, epoch=epoch, now=now, replicas=count)
                try:
                    return await self._heard(question)
                except windows.Fenced:
                    self._start_anew()
        except AWAY as error:
            self.is_away = True
            raise errors.Unavailable(
                "the ledger cannot be reached", code="ledger_unavailable", retry_after=1
            ) from error
        raise errors.Unavailable("this replica was fenced", retry_after=1)

    async def beat(self) -> None:
        """Says that this process lives, and hears how many do. Raises Fenced, and what the database raises."""
        try:
            epoch = await self._registered()
            replicas.heard(await self._heard(partial(windows.beat, self.name, epoch=epoch)))
        except windows.Fenced:
            self._start_anew()
            raise
        except Exception:
            self.is_away = True
            raise

    async def wanted(self) -> set[int]:
        return await self._ask(partial(windows.wanted, self.name))

    async def release(self, keeps: Mapping[int, Keep]) -> set[int]:
        return await self._ask(partial(windows.release, keeps))

    async def depart(self, *, known: Collection[int]) -> None:
        if self.epoch is not None:
            await self._ask(partial(windows.depart, self.name, known=known))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: connection.close())
        self._thread.shutdown()

    async def _heard(self, question: Callable[[], Answer]) -> Answer:
        """An answer says that this process was alive to the database after it had asked."""
        asked_at = self._clock()
        answer = await self._ask(question)
        self.trusted_until = asked_at + TRUSTED_SECONDS
        self.is_away = False
        return answer

    def _start_anew(self) -> None:
        self.epoch = None
        self._on_fenced()

    async def _registered(self) -> int:
        if self.epoch is None:
            self.epoch = await self._ask(partial(windows.register, self.name))
        return self.epoch

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _in_thread, question)


def _in_thread(question: Callable[[], Answer]) -> Answer:
    close_old_connections()
    try:
        return question()
    finally:
        close_old_connections()
