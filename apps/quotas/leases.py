"""Budgets in memory: this process spends from leases, and asks the database only when they run short.

Everything that counts money here is synchronous and runs on the event loop, so nothing can come between a check and
its taking.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from django.conf import settings

from apps.domain import errors
from apps.domain.snapshot import Budget
from apps.quotas import replicas, windows
from apps.quotas.authority import AWAY, Authority, boottime
from apps.quotas.shortage import Call, Short, ahead, extension, refuse_outside
from apps.quotas.slices import Hold, Slice, leased
from apps.runtime import clock
from apps.runtime.state import state

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

BEAT_SECONDS = 5.0
# A process that is refused because others hold what is left asks for it back, and waits so long for it. So does a call
# for others that are in flight here.
RECALL_SECONDS = 1.5
RECALL_POLL_SECONDS = 0.1
RECALL_LOOK_SECONDS = 0.5
# A refusal is believed for this long, so that refused callers do not become the database's load.
REFUSED_SECONDS = 1.0
# What others may be waiting for is not kept for long.
IDLE_SECONDS_SHARED = 5.0
IDLE_SECONDS_ALONE = 30.0
_TRIES = 8


class LeaseBook:
    """`name` is the journal's, so that whoever recovers that may free these leases. `shared`: other processes spend
    the same budgets; if not, a lease is everything that remains. `clock` counts while the machine is suspended."""

    def __init__(
        self, name: str | None = None, *, shared: bool | None = None, clock: Callable[[], float] = boottime
    ) -> None:
        self.name = name or replicas.name()
        self.shared = bool(settings.REDIS_URL) if shared is None else shared
        self._clock = clock
        self._authority = Authority(self.name, shared=self.shared, on_fenced=self._fenced, clock=clock)
        self._slices: dict[int, Slice] = {}  # by budget
        self._retired: list[Slice] = []
        self._waiting: dict[int, int] = {}
        self._lock = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None
        self._fetching: set[asyncio.Task[None]] = set()

    @property
    def is_cut_off(self) -> bool:
        """The database did not answer when it was last asked."""
        return self._authority.is_away

    @property
    def _is_doubtful(self) -> bool:
        """Somebody may have given away what this process holds: it spends nothing before it has asked."""
        return self._clock() > self._authority.trusted_until

    async def start(self) -> None:
        """Begins the heartbeat. Needs no database: that is asked when it answers."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
            state.leased = lambda: leased(tuple(self._slices.values()), is_cut_off=self.is_cut_off)

    async def close(self) -> bool:
        """Returns what is not spent. Call it when the forwarder is closed: until then spending is not in the ledger.

        False: the database could not be told, so the journal must stay for somebody who tells it.
        """
        tasks = [*self._fetching, *([self._beating] if self._beating else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._retire_all()
        known = [found.lease_id for found in self._retired]
        try:
            await self._give_back(self._retired)
            await self._authority.depart(known=known)
        except AWAY:
            log.warning("leases stay open until this journal is recovered", exc_info=True)
            is_told = False
        else:
            is_told = True
        await self._authority.close()
        return is_told

    # --- the path of a call ------------------------------------------------------------------------------------

    async def reserve(self, budgets: Sequence[Budget], *, amount: int, now: float, expected: int | None = None) -> Hold:
        """`amount` on every budget or on none, of which `expected` (all of it, if None) will likely be spent. `now` in
        unix seconds.

        Does not wait while the leases suffice. Raises BudgetExhausted, or Unavailable if the database cannot say.
        """
        if expected is None:
            expected = amount
        hold = self.take(budgets, amount=amount, expected=expected, now=now)
        if hold is not None:
            return hold
        return await self._fetch_and_take(budgets, Call(amount, expected, now))

    def let_pass(self, budgets: Sequence[Budget], *, amount: int, now: float) -> Hold:
        """A reservation that may exceed what is held, on as many of the budgets as are known in this process."""
        known = [found for budget in budgets if (found := self._current(budget, now)) is not None]
        return _taken(known, amount=amount, expected=amount, now=now)

    def settle(self, hold: Hold, *, amount: int) -> None:
        """`amount` is what the budgets are charged: the outcome's `high`. A second call changes nothing."""
        if not hold.is_open:
            return
        hold.is_open = False
        for found in hold.slices:
            found.reserved -= hold.amount
            found.expected -= hold.expected
            found.spent += amount
            if found.beyond:
                found.drop()

    def extend(self, hold: Hold, *, amount: int) -> bool:
        """`amount` more for a stream that outgrows its reservation; False if a lease is in doubt or has not so much."""
        if not hold.is_open or (hold.slices and self._is_doubtful) or any(found.free < amount for found in hold.slices):
            return False
        for found in hold.slices:
            found.reserved += amount
            found.expected += amount
        hold.amount += amount
        hold.expected += amount
        return True

    async def extend_by_asking(self, hold: Hold, *, amount: int) -> bool:
        """As `extend`, from what the database has if the leases are short. Raises Unavailable if it cannot say."""
        if self.extend(hold, amount=amount):
            return True
        async with self._lock:
            short = {found.lease_id: found for found in hold.slices if found.free < amount}
            if hold.is_open and hold.slices and (short or self._is_doubtful):
                await _to_its_end(self._acquire_more(short, amount, now=max(found.starts for found in hold.slices)))
        return self.extend(hold, amount=amount)

    async def _acquire_more(self, short: Mapping[int, Slice], amount: int, *, now: float) -> None:
        """`short`: by lease."""
        for grant in await self._authority.acquire([extension(found, amount) for found in short.values()], now=now):
            if (found := short.get(grant.lease_id)) is not None:
                found.take_up(grant, found.rule)
            else:
                self._authority.is_in_doubt = True  # fenced meanwhile: it is of a lease that no call here has

    def take(self, budgets: Sequence[Budget], *, amount: int, expected: int, now: float) -> Hold | None:
        """As `reserve`, from what this process holds; None: that does not suffice, or is in doubt."""
        if budgets and self._is_doubtful:
            return None
        slices = []
        for budget in budgets:
            found = self._slices.get(budget.id)
            if found is None:
                return None
            of_amount = found.granted - found.spent
            if (
                of_amount + found.credit - found.reserved < amount
                or of_amount - found.expected < expected
                or not found.starts <= now < found.until
                or (found.rule is not budget and not found.agrees(budget))
            ):
                return None
            slices.append(found)
        hold = _taken(slices, amount=amount, expected=expected, now=now)
        if self.shared:
            for found in slices:
                if min(found.free, found.granted - found.spent - found.expected) < found.chunk // 2:
                    self._prefetch(found, budgets, Call(amount, expected, now))
        return hold

    def _current(self, budget: Budget, now: float) -> Slice | None:
        found = self._slices.get(budget.id)
        return found if found is not None and found.starts <= now < found.ends else None

    # --- short of money ----------------------------------------------------------------------------------------

    async def _fetch_and_take(self, budgets: Sequence[Budget], call: Call) -> Hold:
        """A refusal is put off while others may still return what they do not need."""
        refuse_outside(budgets, now=call.now)
        give_up_at = time.monotonic() + RECALL_SECONDS
        with self._counted(budgets, amount=call.amount):
            while True:
                try:
                    return await self._try_to_take(budgets, call)
                except Short as short:
                    if not short.may_end:
                        raise short.refusal() from None
                    if time.monotonic() > give_up_at:
                        for found in short.slices:
                            found.refuse(found.refused_need, seconds=REFUSED_SECONDS, may_return=False)
                        raise short.refusal() from None
                await asyncio.sleep(RECALL_POLL_SECONDS)

    async def _try_to_take(self, budgets: Sequence[Budget], call: Call) -> Hold:
        self._refuse_if_spent(budgets, call)
        async with self._lock:
            for _ in range(_TRIES):
                hold = self.take(budgets, amount=call.amount, expected=call.expected, now=call.now)
                if hold is not None:
                    return hold
                self._refuse_if_spent(budgets, call)
                gone = await _to_its_end(self._acquire(budgets, call))
                budgets = [budget for budget in budgets if budget.id not in gone]
        raise errors.Unavailable("budgets are contended", retry_after=1)

    def _refuse_if_spent(self, budgets: Sequence[Budget], call: Call) -> None:
        """Raises Short."""
        asked_at = time.monotonic()
        spent = [
            found
            for budget in budgets
            if (found := self._current(budget, call.now)) is not None
            and found.agrees(budget)
            and 0 < found.refused_need <= found.lacks(amount=call.amount, expected=call.expected)[0]
            and asked_at < found.refused_until
        ]
        if spent:
            raise Short(spent, call)

    async def _acquire(self, budgets: Sequence[Budget], call: Call) -> set[int]:
        """Enlarges the leases that are too small. Returns the budgets that are switched off by now."""
        asks = {budget.id: ask for budget in budgets if (ask := self._ask_for(budget, call)) is not None}
        for grant in await self._authority.acquire([*asks.values()], now=call.now):
            self._enter(grant, asks.pop(grant.budget_id))
        self._retire(asks)
        return set(asks)

    def _ask_for(self, budget: Budget, call: Call) -> windows.Ask | None:
        """What to ask of one budget; None if its lease suffices."""
        found = self._slices.get(budget.id)
        keep = None
        if found is not None and not found.starts <= call.now < found.ends:
            self._retire([budget.id])
            found = None
        elif found is not None and (call.now >= found.until or found.dropped or not found.agrees(budget)):
            found.shrink()
            keep = found.keep
        waiting = max(call.amount, self._waiting.get(budget.id, 0))
        ask = ahead(budget, call, demand=waiting)
        if found is None:
            return ask
        need, lent = found.lacks(amount=call.amount, expected=call.expected)
        if need <= 0 and keep is None:
            return None
        return msgspec.structs.replace(ask, need=need, credit=lent, demand=waiting - found.free, keep=keep)

    def _enter(self, grant: windows.Grant, ask: windows.Ask, *, is_ahead: bool = False) -> None:
        found = self._slices.get(grant.budget_id)
        if found is None or found.lease_id != grant.lease_id:
            if found is not None:
                self._retired.append(found)
            found = self._slices[grant.budget_id] = self._taken_up(grant, ask.rule)
        found.take_up(grant, ask.rule)
        found.used_at = clock.now()
        found.refused_need = 0
        if not is_ahead and sum(grant.added) < ask.need:
            may_return = any(grant.away) or found.reserved > 0
            patience = RECALL_POLL_SECONDS if any(grant.away) else REFUSED_SECONDS
            found.refuse(ask.need, seconds=patience, may_return=may_return)

    def _taken_up(self, grant: windows.Grant, rule: Budget) -> Slice:
        """A lease may come back, as when a call of yesterday is late: what was spent of it stays spent."""
        for found in self._retired:
            if found.lease_id == grant.lease_id:
                self._retired.remove(found)
                return found
        return Slice(grant, rule)

    def _prefetch(self, low: Slice, budgets: Sequence[Budget], call: Call) -> None:
        """Asks for more while there is still some, so that no call has to wait for it."""
        low.chunk = 0
        asks = {budget.id: ahead(budget, call) for budget in budgets if self._slices.get(budget.id) is low}

        async def fetch() -> None:
            async with self._lock:
                if any(self._slices.get(budget_id) is low for budget_id in asks):
                    for grant in await self._authority.acquire([*asks.values()], now=call.now):
                        self._enter(grant, asks[grant.budget_id], is_ahead=True)

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
                    await self._authority.beat()
                    await self._tidy(clock.now())
                if self.shared:
                    await self._return_what_is_wanted()
            except windows.Fenced:
                log.warning("this replica was taken for dead; its leases are retired")
            except Exception as error:
                # Whatever it is, without a heartbeat this process is taken for dead.
                log.warning("no heartbeat: %s", error)
            await asyncio.sleep(RECALL_LOOK_SECONDS if self.shared else BEAT_SECONDS)

    async def _return_what_is_wanted(self) -> None:
        if not any(found.is_idle for found in self._slices.values()):
            return
        wanted = await self._authority.wanted()
        async with self._lock:
            await self._return_free([found for found in self._slices.values() if found.lease_id in wanted])

    async def _return_free(self, slices: Sequence[Slice]) -> None:
        for found in slices:
            found.shrink()
        if slices:
            await self._give_back(slices)

    async def _tidy(self, now: float) -> None:
        """Gives back what lies idle, and closes the leases of windows that have ended. After an answer that was lost,
        gives back whatever that may have granted, too."""
        async with self._lock:
            self._retire([budget_id for budget_id, found in self._slices.items() if now >= found.ends])
            patience = IDLE_SECONDS_SHARED if self.shared else IDLE_SECONDS_ALONE
            idle = [found for found in self._slices.values() if found.is_idle and now - found.used_at > patience]
            if not self._authority.is_in_doubt:
                await self._return_free([*idle, *self._retired])
                return
            await self._return_free([*self._slices.values(), *self._retired])
            await self._authority.disown(known=[found.lease_id for found in (*self._slices.values(), *self._retired)])

    async def _give_back(self, slices: Sequence[Slice]) -> None:
        closed = await self._authority.release({found.lease_id: found.keep for found in slices})
        self._retired = [found for found in self._retired if found.lease_id not in closed or found.reserved]

    def _retire(self, budget_ids: Iterable[int]) -> None:
        for budget_id in list(budget_ids):
            if (found := self._slices.pop(budget_id, None)) is not None:
                self._retired.append(found)

    def _retire_all(self) -> None:
        self._retire(self._slices)

    async def _fenced(self) -> None:
        """What the old leases have over is given back before there are new ones, or it would be missing there."""
        self._retire_all()
        await self._return_free(self._retired)


async def _to_its_end(work: Coroutine[None, None, Answer]) -> Answer:
    """What the database has granted must be entered, even if the call that asked for it is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _taken(slices: list[Slice], *, amount: int, expected: int, now: float) -> Hold:
    for found in slices:
        found.reserved += amount
        found.expected += expected
        found.used_at = now
    return Hold(amount, expected, slices)
