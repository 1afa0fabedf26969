"""Budgets in memory: this process spends from leases, and asks the database only when they run short.

Everything that counts money here is synchronous and runs on the event loop, so nothing can come between a check and
its taking. The database is asked in a thread of its own, one question at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from apps.domain import errors
from apps.domain.limits import budget as periods
from apps.domain.snapshot import Budget
from apps.quotas import replicas, windows
from apps.quotas.slices import Hold, Slice
from apps.runtime.failpoints import failpoint

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

BEAT_SECONDS = 5.0
# A process that is refused because others hold what is left asks for it back, and waits so long for it.
RECALL_SECONDS = 1.5
RECALL_POLL_SECONDS = 0.1
RECALL_LOOK_SECONDS = 0.5
# A refusal is believed for this long, so that refused callers do not become the database's load.
REFUSED_SECONDS = 1.0
# What others may be waiting for is not kept for long.
IDLE_SECONDS_SHARED = 5.0
IDLE_SECONDS_ALONE = 30.0
_TRIES = 8


class _Short(Exception):
    """These slices do not suffice, as far as this process knows."""

    def __init__(self, refusal: errors.BudgetExhausted, slices: list[Slice]) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.slices = slices


class LeaseBook:
    """`name` is the journal's, so that whoever recovers that may free these leases. `shared`: other processes spend
    the same budgets; if not, a lease is everything that remains."""

    def __init__(self, name: str | None = None, *, shared: bool | None = None) -> None:
        self.name = name or replicas.name()
        self.shared = bool(settings.REDIS_URL) if shared is None else shared
        self._slices: dict[int, Slice] = {}  # by budget
        self._retired: list[Slice] = []
        self._waiting: dict[int, int] = {}
        self._epoch: int | None = None
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="leases")
        self._beating: asyncio.Task[None] | None = None
        self._fetching: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begins the heartbeat. Needs no database: that is asked when it answers."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Returns what is not spent. Call it when the forwarder is closed: until then spending is not in the ledger."""
        tasks = [*self._fetching, *([self._beating] if self._beating else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._retire(self._slices)
        try:
            if self._epoch is not None:
                await self._give_back(self._retired)
                await self._ask(partial(windows.depart, self.name))
        except (DatabaseError, InterfaceError):
            log.warning("leases stay open until this journal is recovered", exc_info=True)
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: connection.close())
        self._thread.shutdown()

    # --- the path of a call ------------------------------------------------------------------------------------

    async def reserve(self, budgets: Sequence[Budget], *, amount: int, now: float) -> Hold:
        """`amount` on every budget or on none. `now` in unix seconds.

        Does not wait while the leases suffice. Raises BudgetExhausted, or Unavailable if the database cannot say.
        """
        hold = self._take(budgets, amount=amount, now=now)
        return hold if hold is not None else await self._fetch_and_take(budgets, amount=amount, now=now)

    def settle(self, hold: Hold, *, amount: int) -> None:
        """`amount` is what the budgets are charged: the outcome's `high`. A second call changes nothing."""
        if not hold.is_open:
            return
        hold.is_open = False
        for found in hold.slices:
            found.reserved -= hold.amount
            found.spent += amount

    def extend(self, hold: Hold, *, amount: int) -> bool:
        """`amount` more for a stream that outgrows its reservation; False if a lease has not that much."""
        if not hold.is_open or any(found.free < amount for found in hold.slices):
            return False
        for found in hold.slices:
            found.reserved += amount
        hold.amount += amount
        return True

    def _take(self, budgets: Sequence[Budget], *, amount: int, now: float) -> Hold | None:
        slices = []
        for budget in budgets:
            found = self._slices.get(budget.id, _UNKNOWN)
            if (
                found.granted - found.spent - found.reserved < amount
                or not found.starts <= now < found.ends
                or found.amount != budget.amount
            ):
                return None
            slices.append(found)
        for found in slices:
            found.reserved += amount
            found.used_at = now
            if self.shared and found.granted - found.spent - found.reserved < found.chunk // 2:
                self._prefetch(found, budgets, amount=amount, now=now)
        return Hold(amount, slices)

    # --- short of money ----------------------------------------------------------------------------------------

    async def _fetch_and_take(self, budgets: Sequence[Budget], *, amount: int, now: float) -> Hold:
        """A refusal is put off while other processes may still return what they do not need."""
        give_up_at = time.monotonic() + RECALL_SECONDS
        with self._counted(budgets, amount=amount):
            while True:
                try:
                    return await self._try_to_take(budgets, amount=amount, now=now)
                except _Short as short:
                    if not any(found.elsewhere for found in short.slices):
                        raise short.refusal from None
                    if time.monotonic() > give_up_at:
                        for found in short.slices:
                            found.refuse(found.refused_need, seconds=REFUSED_SECONDS, elsewhere=False)
                        raise short.refusal from None
                await asyncio.sleep(RECALL_POLL_SECONDS)

    async def _try_to_take(self, budgets: Sequence[Budget], *, amount: int, now: float) -> Hold:
        self._refuse_if_spent(budgets, amount=amount, now=now)
        async with self._lock:
            for _ in range(_TRIES):
                hold = self._take(budgets, amount=amount, now=now)
                if hold is not None:
                    return hold
                self._refuse_if_spent(budgets, amount=amount, now=now)
                gone = await _to_its_end(self._acquire(budgets, amount=amount, now=now))
                budgets = [budget for budget in budgets if budget.id not in gone]
        raise errors.Unavailable("budgets are contended", retry_after=1)

    def _refuse_if_spent(self, budgets: Sequence[Budget], *, amount: int, now: float) -> None:
        """Raises _Short, with the refusal of the budget that is longest to wait for."""
        spent = [
            (found, budget)
            for budget in budgets
            if (found := self._slices.get(budget.id)) is not None
            and found.starts <= now < found.ends
            and found.amount == budget.amount
            and 0 < found.refused_need <= amount - found.free
            and time.monotonic() < found.refused_until
        ]
        if spent:
            found, budget = max(spent, key=lambda pair: pair[0].ends)
            message = periods.refusal(budget, cost=amount, left=found.free + found.rest, ends=found.ends)
            never = amount > budget.amount > 0  # then it is as large again, and not enough again
            refusal = errors.BudgetExhausted(message, retry_after=None if never else max(1.0, found.ends - now))
            raise _Short(refusal, [short for short, _ in spent])

    async def _acquire(self, budgets: Sequence[Budget], *, amount: int, now: float) -> set[int]:
        """Enlarges the leases that are too small. Returns the budgets that are switched off by now."""
        asks = [ask for budget in budgets if (ask := self._ask_for(budget, amount=amount, now=now)) is not None]
        needs = {ask.rule.id: ask.need for ask in asks}
        for grant in await self._acquired(asks, now=now):
            self._enter(grant, need=needs.pop(grant.budget_id))
        self._retire(needs)
        return set(needs)

    def _ask_for(self, budget: Budget, *, amount: int, now: float) -> windows.Ask | None:
        """What to ask of one budget; None if its lease suffices."""
        found = self._slices.get(budget.id)
        keep = None
        if found is not None and not found.starts <= now < found.ends:
            self._retire([budget.id])
            found = None
        elif found is not None and found.amount != budget.amount:
            found.granted = keep = found.committed  # nobody takes from it while it is returned
        free = 0 if found is None else found.free
        if free >= amount and keep is None and found is not None:
            return None
        demand = max(amount, self._waiting.get(budget.id, 0)) - free
        return windows.Ask(rule=budget, need=amount - free, demand=demand, unit=amount, keep=keep)

    async def _acquired(self, asks: list[windows.Ask], *, now: float) -> list[windows.Grant]:
        try:
            for _ in range(2):
                epoch = await self._registered()
                count = replicas.count() if self.shared else None
                question = partial(windows.acquire, asks, replica=self.name, epoch=epoch, now=now, replicas=count)
                try:
                    grants = await self._ask(question)
                    failpoint("lease.granted")
                    return grants
                except windows.Fenced:
                    self._start_anew()
        except (DatabaseError, InterfaceError) as error:
            raise errors.Unavailable(
                "the ledger cannot be reached", code="ledger_unavailable", retry_after=1
            ) from error
        raise errors.Unavailable("this replica was fenced", retry_after=1)

    def _enter(self, grant: windows.Grant, *, need: int) -> None:
        found = self._slices.get(grant.budget_id)
        if found is None or found.lease_id != grant.lease_id:
            if found is not None:
                self._retired.append(found)
            found = self._slices[grant.budget_id] = self._taken_up(grant)
        found.starts, found.ends, found.amount = grant.starts, grant.ends, grant.amount
        found.granted = grant.granted
        found.chunk = grant.added
        found.rest = grant.rest
        found.used_at = time.time()
        found.refused_need = 0
        if grant.added < need:
            patience = RECALL_POLL_SECONDS if grant.elsewhere else REFUSED_SECONDS
            found.refuse(need, seconds=patience, elsewhere=grant.elsewhere)

    def _taken_up(self, grant: windows.Grant) -> Slice:
        """A lease may come back, as when a call of yesterday is late: what was spent of it stays spent."""
        for found in self._retired:
            if found.lease_id == grant.lease_id:
                self._retired.remove(found)
                return found
        return Slice(grant)

    def _prefetch(self, low: Slice, budgets: Sequence[Budget], *, amount: int, now: float) -> None:
        """Asks for more while there is still some, so that no call has to wait for it."""
        low.chunk = 0
        wanted = [budget for budget in budgets if self._slices.get(budget.id) is low]

        async def fetch() -> None:
            async with self._lock:
                asks = [
                    windows.Ask(rule=budget, need=amount, demand=amount, unit=amount)
                    for budget in wanted
                    if self._slices.get(budget.id) is low
                ]
                for grant in await self._acquired(asks, now=now) if asks else ():
                    self._enter(grant, need=0)

        task = asyncio.create_task(fetch())
        self._fetching.add(task)
        task.add_done_callback(self._fetched)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("no lease ahead: %s", task.exception())

    @contextmanager
    def _counted(self, budgets: Sequence[Budget], *, amount: int) -> Iterator[None]:
        """Adds to what waits for these budgets, so that one question serves all who wait."""
        for budget in budgets:
            self._waiting[budget.id] = self._waiting.get(budget.id, 0) + amount
        try:
            yield
        finally:
            for budget in budgets:
                if left := self._waiting.pop(budget.id, amount) - amount:
                    self._waiting[budget.id] = left

    # --- housekeeping ------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        next_beat = 0.0
        while True:
            try:
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + BEAT_SECONDS
                    epoch = await self._registered()
                    replicas.heard(await self._ask(partial(windows.beat, self.name, epoch=epoch)))
                    await self._tidy(time.time())
                if self.shared:
                    await self._return_what_is_wanted()
            except windows.Fenced:
                log.warning("this replica was taken for dead; its leases are retired")
                self._start_anew()
            except Exception as error:
                # Whatever it is, without a heartbeat this process is taken for dead.
                log.warning("no heartbeat: %s", error)
            await asyncio.sleep(RECALL_LOOK_SECONDS if self.shared else BEAT_SECONDS)

    async def _return_what_is_wanted(self) -> None:
        if not any(found.free > 0 for found in self._slices.values()):
            return
        wanted = await self._ask(partial(windows.wanted, self.name))
        async with self._lock:
            await self._return_free([found for found in self._slices.values() if found.lease_id in wanted])

    async def _return_free(self, slices: Sequence[Slice]) -> None:
        for found in slices:
            found.granted = min(found.granted, found.committed)  # nobody takes from it while it is returned
        if slices:
            await self._give_back(slices)

    async def _tidy(self, now: float) -> None:
        """Gives back what lies idle, and closes the leases of windows that have ended."""
        async with self._lock:
            self._retire([budget_id for budget_id, found in self._slices.items() if now >= found.ends])
            patience = IDLE_SECONDS_SHARED if self.shared else IDLE_SECONDS_ALONE
            idle = [found for found in self._slices.values() if found.free > 0 and now - found.used_at > patience]
            await self._return_free([*idle, *self._retired])

    async def _give_back(self, slices: Sequence[Slice]) -> None:
        keeps = {found.lease_id: found.committed for found in slices}
        closed = await self._ask(partial(windows.release, keeps))
        self._retired = [found for found in self._retired if found.lease_id not in closed or found.reserved]

    def _retire(self, budget_ids: Iterable[int]) -> None:
        for budget_id in list(budget_ids):
            if (found := self._slices.pop(budget_id, None)) is not None:
                self._retired.append(found)

    def _start_anew(self) -> None:
        self._epoch = None
        self._retire(self._slices)

    async def _registered(self) -> int:
        if self._epoch is None:
            self._epoch = await self._ask(partial(windows.register, self.name))
        return self._epoch

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _in_thread, question)


async def _to_its_end(work: Coroutine[None, None, Answer]) -> Answer:
    """What the database has granted must be entered, even if the call that asked for it is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _in_thread(question: Callable[[], Answer]) -> Answer:
    close_old_connections()
    try:
        return question()
    finally:
        close_old_connections()


_UNKNOWN = Slice(
    windows.Grant(budget_id=0, window_id=0, lease_id=0, starts=0, ends=0, amount=0, granted=0, added=0, rest=0)
)
