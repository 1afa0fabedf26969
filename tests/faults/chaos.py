"""Plays a plan: callers on one side, everything that can go wrong on the other, and the books when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.faults import books
from tests.faults.installation import Gateway, Installation, Refused
from tests.faults.load import Ask, Load, Said
from tests.faults.plan import CALLERS, KEYS, Event, Plan
from tests.faults.tenants import Tenant, open_tenant, read_books, settle, verified

RESTART_SECONDS = 0.15  # that a dead gateway lies before its supervisor notices
STUCK_SECONDS = 0.8  # that one stopped at a failpoint stands still
LOOK_SECONDS = 0.03
# Of a provider that says nothing, which some are told to be.
HASTE = {"connect_timeout": 2.0, "first_byte_timeout": 1.5, "idle_timeout": 1.5, "total_timeout": 30.0}
MINIMUM_CALLS = 20  # of a breaker, as by default
PATIENCE_SECONDS = 30.0  # of a caller whose answer was lost


class Broken(AssertionError):
    """What was promised did not hold. Says which seed, which plan, the first differences, and where all of it lies."""


def play(installation: Installation, plan: Plan) -> list[Said]:
    """One round, with a tenant of its own. Raises Broken."""
    installation.ask("set_prices", factor=1)  # as no earlier round has left them
    installation.ask("set_providers", on_disconnect="cancel", **HASTE)
    installation.ask("set_breakers", minimum_calls=MINIMUM_CALLS)
    tenant = open_tenant(installation, budgets=plan.budgets, keys=KEYS, on_outage=plan.on_outage)
    stage = Stage(installation, plan, tenant)
    said = asyncio.run(stage.run())
    settle(installation)
    stage.replay()
    found = read_books(installation, tenant, obeys=plan.obeys, stalls=True)
    checks = (books.differences(found), _unheard(said, found), verified(installation, tenant), stage.refused)
    if wrong := [difference for check in checks for difference in check]:
        raise Broken(_report(installation, plan, found, wrong))
    return said


def _unheard(said: list[Said], found: books.Books) -> list[str]:
    """Whoever was given an answer is in the ledger; and nobody was given a failure of the gateway's own."""
    known = {row["request_id"].replace("-", "") for row in found.entries}
    told = [one.request_id.removeprefix("req_") for one in said if one.status == 200]
    lost = [f"request {request} was answered and is not in the ledger" for request in told if request not in known]
    return lost + [f"{one.request_id} failed: {one.status} {one.code}" for one in said if one.status == 500]


def _report(installation: Installation, plan: Plan, found: books.Books, wrong: list[str]) -> str:
    place = installation.folder / f"books-{plan.seed}.json"
    place.write_text(json.dumps(dataclasses.asdict(found), default=repr, indent=1))
    first = "\n".join(f"  {line}" for line in wrong[:10])
    return f"{plan}\n{len(wrong)} differences, the first of them:\n{first}\nall of it: {place.parent}"


class Stage:
    """Where a plan is played: the gateways in their places, and who does what to them when."""

    def __init__(self, installation: Installation, plan: Plan, tenant: Tenant) -> None:
        self._installation = installation
        self._plan = plan
        self._tenant = tenant
        self._dice = random.Random(plan.seed)  # of callers and restarts: their order is the scheduler's anyway
        self._copies = installation.folder / f"copies-{plan.seed}"
        self._copies.mkdir()
        self._away = installation.folder / f"away-{plan.seed}"
        self._away.mkdir()
        self._places: list[Gateway] = []
        self._resume_at: dict[int, float] = {}
        self._heal_at = 0.0
        self.refused: list[str] = []  # orders that failed for another reason than that the database was away
        self._orders = ThreadPoolExecutor(max_workers=1, thread_name_prefix="operator")

    async def run(self) -> list[Said]:
        """All calls, while all events happen. Everything is whole again when it returns."""
        self._places = [self._begin(failpoint=armed) for armed in self._plan.failpoints]
        for gateway in self._places:
            gateway.wait_until_it_serves()
        asks = [Ask(**(call | {"key": self._tenant.keys[call["key"]][1]})) for call in self._plan.calls]
        async with Load(self._choose, tries=40, patience=PATIENCE_SECONDS) as load:
            over = asyncio.Event()
            breaking = asyncio.create_task(asyncio.to_thread(self._break, over))
            try:
                await load.run(asks, at_once=CALLERS, pause=lambda: self._dice.random() * 0.1)
            finally:
                over.set()
                await breaking
            return load.said

    def _begin(self, **options: Any) -> Gateway:
        gate = {"WEIR_FIRST_BYTE_GATE": "database"} if self._plan.gate else {}
        return self._installation.begin(**options, **gate)

    def replay(self) -> None:
        """Disks that were away come back; then what the dead left behind is read once more, and nothing may change."""
        self._installation.ask("recover", folder=str(self._away))
        self._installation.ask("recover", folder=str(self._copies))

    def _choose(self) -> str:
        return self._dice.choice([one for one in self._places if one.lives] or self._places).base_url

    # --- in a thread beside the callers ------------------------------------------------------------------------

    def _break(self, over: asyncio.Event) -> None:
        began = time.monotonic()
        events = list(self._plan.events)
        try:
            while not over.is_set():
                now = time.monotonic() - began
                if events and events[0].at <= now:
                    self._happen(events.pop(0))
                self._look_after(now=time.monotonic())
                time.sleep(LOOK_SECONDS)
        finally:
            self._heal()
            for gateway in self._places:
                gateway.resume()
            self._orders.shutdown()

    def _look_after(self, *, now: float) -> None:
        """As a supervisor, and as time itself: what is dead is started again, what stands still goes on."""
        if self._heal_at and now >= self._heal_at:
            self._heal()
        for place, gateway in enumerate(self._places):
            if not gateway.lives:
                if now >= self._resume_at.setdefault(place, now + RESTART_SECONDS):
                    del self._resume_at[place]
                    self._keep(gateway)
                    self._places[place] = self._begin(port=gateway.port)
            elif gateway.stands_still and now >= self._resume_at.setdefault(place, now + STUCK_SECONDS):
                del self._resume_at[place]
                gateway.resume()

    def _heal(self) -> None:
        self._heal_at = 0.0
        for proxy in (self._installation.to_database, self._installation.to_redis):
            if proxy is not None:
                proxy.heal()

    def _keep(self, gateway: Gateway) -> None:
        """A copy of the journal of one that died; somebody may be taking it over at this moment."""
        for path in self._installation.journals.glob(f"{gateway.name}*.journal*"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path, self._copies)

    def _happen(self, event: Event) -> None:
        getattr(self, "_" + event.what.replace("-", "_"))(event, self._places[event.which])

    def _kill(self, event: Event, gateway: Gateway) -> None:
        gateway.kill()

    def _restart(self, event: Event, gateway: Gateway) -> None:
        gateway.tell_to_end()

    def _pause(self, event: Event, gateway: Gateway) -> None:
        gateway.stop()
        self._resume_at[event.which] = time.monotonic() + event.number

    def _zombie(self, event: Event, gateway: Gateway) -> None:
        """Paused for so long that it is taken for dead; then it goes on as if nothing had been."""
        self._pause(event, gateway)
        self._ask("silence", name=gateway.name)
        self._ask("reap")

    def _given_up(self, event: Event, gateway: Gateway) -> None:
        """A zombie whose leases have been written off when it goes on."""
        self._zombie(event, gateway)
        self._ask("silence", name=gateway.name)
        self._ask("reap")

    def _disk_away(self, event: Event, gateway: Gateway) -> None:
        """Killed, its journal gone; given up for lost. At the end of the round the journal turns up."""
        gateway.kill()
        for path in self._installation.journals.glob(f"{gateway.name}*"):
            with contextlib.suppress(FileNotFoundError):
                path.rename(self._away / path.name)
        self._ask("silence", name=gateway.name)
        self._ask("lose", name=gateway.name)

    def _lock(self, event: Event, gateway: Gateway) -> None:
        self._ask("lock", seconds=event.number)

    def _revoke(self, event: Event, gateway: Gateway) -> None:
        self._ask("revoke", key=self._tenant.keys[int(event.number)][0])

    def _amount(self, event: Event, gateway: Gateway) -> None:
        self._ask("set_amount", budget=self._dice.choice(self._tenant.budgets), amount=int(event.number))

    def _prices(self, event: Event, gateway: Gateway) -> None:
        self._ask("set_prices", factor=int(event.number))

    def _disconnects(self, event: Event, gateway: Gateway) -> None:
        self._ask("set_providers", on_disconnect=("cancel", "drain")[int(event.number)])

    def _redis_reset(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_redis is not None
        self._installation.to_redis.reset()

    def _redis_hold(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_redis is not None
        self._installation.to_redis.hold()
        self._heal_at = time.monotonic() + event.number

    def _redis_slow(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_redis is not None
        self._installation.to_redis.delay(30.0)
        self._heal_at = time.monotonic() + event.number

    def _redis_empty(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.redis is not None
        self._installation.redis.server.end(signal.SIGKILL)
        self._installation.redis.server.start()

    def _database_reset(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_database is not None
        self._installation.to_database.reset()

    def _database_hold(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_database is not None
        self._installation.to_database.hold()
        self._heal_at = time.monotonic() + event.number

    def _database_slow(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_database is not None
        self._installation.to_database.delay(0.05)
        self._heal_at = time.monotonic() + event.number

    def _database_half_open(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.to_database is not None
        self._installation.to_database.swallow()
        self._heal_at = time.monotonic() + event.number

    def _database_restart(self, event: Event, gateway: Gateway) -> None:
        assert self._installation.database is not None
        self._installation.database.server.end(signal.SIGQUIT)  # "immediate": as if it had crashed
        time.sleep(event.number)
        self._installation.database.server.start()

    def _ask(self, what: str, **arguments: object) -> None:
        """Of the operator, in his own time: he may have to wait for somebody who stands still with the lock, and be
        told that the database is away."""
        self._orders.submit(self._order, what, arguments)

    def _order(self, what: str, arguments: dict[str, object]) -> None:
        try:
            self._installation.ask(what, **arguments)
        except Refused as error:
            if "django.db.utils." not in str(error):
                self.refused.append(str(error))
