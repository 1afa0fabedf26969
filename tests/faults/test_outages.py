"""The stores go away, come back, come back empty, or only get slow: calls go on, and the money is exact afterwards."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from tests import services
from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, settled
from tests.servers import until

PLENTY = 10**13  # what a process leases of it lasts for any outage here
CALLERS = 12
OUTAGE_SECONDS = 20.0
# What a call may take that does not wait for a store: far less than a store's outage, far more than it takes.
PROMPT_SECONDS = 6.0


class Traffic:
    """Callers that go on until they are told to stop; `during` says what became of the calls of a stretch of time."""

    def __init__(self, gateways: Sequence[Gateway], asks: Sequence[Ask]) -> None:
        self._turns = itertools.cycle(gateways)
        self._asks = itertools.cycle(asks)
        self._over = threading.Event()
        self._calls: list[tuple[float, float, Said]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Traffic:
        self._thread.start()
        self.wait_for(CALLERS)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, calls: int) -> None:
        """So many more."""
        enough = len(self._calls) + calls
        until(lambda: len(self._calls) >= enough or not self._thread.is_alive())

    def during(self, begin: float, end: float) -> list[Said]:
        """Calls that began and ended between these moments of the monotonic clock."""
        return [said for began, ended, said in self._calls if begin <= began and ended <= end]

    @property
    def said(self) -> list[Said]:
        return [said for *_, said in self._calls]

    @property
    def slowest(self) -> float:
        return max(ended - began for began, ended, _ in self._calls)

    async def _run(self) -> None:
        async with Load(lambda: next(self._turns).base_url) as load:
            await asyncio.gather(*(self._caller(load) for _ in range(CALLERS)))

    async def _caller(self, load: Load) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            said = await load.call(next(self._asks))
            self._calls.append((began, time.monotonic(), said))
            await asyncio.sleep(0.1)


def everyday(tenant: Tenant) -> list[Ask]:
    return [
        Ask(tenant.key),
        Ask(tenant.key, model="gpt", dialect="openai", stream=False),
        Ask(tenant.key, model="gpt", script="pace-5"),
        Ask(tenant.key, dialect="openai", leave="rst", after=2),
    ]


def outcomes(said: Sequence[Said]) -> set[tuple[int, str]]:
    return {(one.status, one.code) for one in said if not one.left}


def in_order(said: Sequence[Said]) -> bool:
    """Every stream that began has come to its own end, but those that were left."""
    return all(one.is_whole or one.left for one in said if one.status == 200)


# --- the ledger's database -------------------------------------------------------------------------------------


def test_postgresql_is_away_for_20_s_under_load_and_the_ledger_is_the_meter(several, postgresql):
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": PLENTY}, {"of": "key", "amount": PLENTY}])
    gateways = several.start(2)
    assert postgresql.server is not None
    with Traffic(gateways, everyday(tenant)) as traffic:
        postgresql.server.end(signal.SIGQUIT)  # immediate: as if the power had failed
        begin = time.monotonic()
        while time.monotonic() < begin + OUTAGE_SECONDS:
            traffic.wait_for(CALLERS)
        meanwhile = traffic.during(begin, time.monotonic())
        postgresql.server.start()
        traffic.wait_for(5 * CALLERS)
    assert len(meanwhile) > 100
    assert outcomes(traffic.said) == {(200, "")}  # on what the processes hold of the budgets
    assert in_order(traffic.said)
    assert traffic.slowest < OUTAGE_SECONDS / 2
    assert settled(several, tenant) == []


def test_a_budget_of_which_nothing_is_held_is_refused_while_the_ledger_is_away_and_only_then(several):
    tenant = open_tenant(several, budgets=[{"of": "key", "amount": PLENTY}], keys=2)
    (gateway,) = several.start()
    asks = [Ask(word, dialect="openai", stream=False) for _, word in tenant.keys]
    warm = asyncio.run(_calls([gateway], asks[1:]))  # another key: this one's budget is asked for by nobody yet
    several.to_database.hold()
    try:
        refused = asyncio.run(_calls([gateway], asks[:1]))
    finally:
        several.to_database.heal()
    served = until(lambda: [one for one in asyncio.run(_calls([gateway], asks[:1])) if one.status == 200])
    assert outcomes(warm) == outcomes(served) == {(200, "")}
    assert {one.status for one in refused} == {503}
    assert settled(several, tenant) == []


@pytest.mark.parametrize("break_it", ["reset", "swallow"])
def test_connections_to_the_ledger_that_break_lose_nothing_and_count_nothing_twice(several, break_it):
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": PLENTY}])
    gateways = several.start(2)
    with Traffic(gateways, everyday(tenant)) as traffic:
        for _ in range(4):
            getattr(several.to_database, break_it)()
            traffic.wait_for(CALLERS)
    several.to_database.heal()  # else the server keeps a swallowed transaction, and its rows' locks, for 60 s
    assert outcomes(traffic.said) == {(200, "")}
    assert in_order(traffic.said)
    assert settled(several, tenant) == []


@pytest.mark.parametrize("seconds", [3.0, 8.0])  # within the time that SQLite waits for a lock, and beyond it
def test_a_locked_database_stops_no_call(embedded, seconds):
    tenant = open_tenant(embedded, budgets=[{"of": "tenant", "amount": PLENTY}])
    with Traffic(embedded.start(), everyday(tenant)) as traffic:
        begin = time.monotonic()
        embedded.ask("lock", seconds=seconds)
        meanwhile = traffic.during(begin, begin + seconds)
        traffic.wait_for(CALLERS)
    assert len(meanwhile) > CALLERS
    assert outcomes(traffic.said) == {(200, "")}
    assert in_order(traffic.said)
    assert traffic.slowest < PROMPT_SECONDS
    assert settled(embedded, tenant) == []


# --- the counters' Redis ---------------------------------------------------------------------------------------


def _killed_and_empty(installation: Installation, valkey: services.Service) -> None:
    assert valkey.server is not None
    valkey.server.end(signal.SIGKILL)
    valkey.server.start()


def _slow(installation: Installation, valkey: services.Service) -> None:
    installation.to_redis.delay(30.0)


def _reset(installation: Installation, valkey: services.Service) -> None:
    installation.to_redis.reset()


def _refused(installation: Installation, valkey: services.Service) -> None:
    installation.to_redis.refuse()


def _cut_off(installation: Installation, valkey: services.Service) -> None:
    installation.to_redis.hold()


@pytest.mark.parametrize("fault", [_killed_and_empty, _slow, _reset, _refused, _cut_off])
def test_whatever_becomes_of_redis_no_call_fails_or_waits_and_no_money_moves(several, valkey, fault):
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": PLENTY}])
    several.ask("set_limit", tenant=tenant.id, requests_per_minute=1_000_000, concurrency=1_000)
    gateways = several.start(2)
    try:
        with Traffic(gateways, everyday(tenant)) as traffic:
            fault(several, valkey)
            traffic.wait_for(10 * CALLERS)
            several.to_redis.heal()
            traffic.wait_for(5 * CALLERS)
    finally:
        several.to_redis.heal()
    assert outcomes(traffic.said) == {(200, "")}
    assert in_order(traffic.said)
    assert traffic.slowest < PROMPT_SECONDS
    assert settled(several, tenant) == []


# --- clocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [600.0, -600.0, 40 * 86_400.0])
def test_a_clock_that_is_wrong_and_then_set_right_moves_no_money(several, ahead):
    budgets = [{"of": "tenant", "amount": PLENTY, "period": period} for period in ("day", "week", "month")]
    tenant = open_tenant(several, budgets=budgets)
    right, wrong = several.begin(), several.begin(clock=ahead)
    for gateway in (right, wrong):
        assert gateway.wait_until_it_serves(), gateway.output()
    with Traffic([right, wrong], everyday(tenant)) as traffic:
        wrong.set_clock_right()
        traffic.wait_for(5 * CALLERS)
    assert outcomes(traffic.said) == {(200, "")}
    assert in_order(traffic.said)
    assert settled(several, tenant) == []


async def _calls(gateways: Sequence[Gateway], asks: Sequence[Ask]) -> list[Said]:
    turns: Callable[[], Gateway] = itertools.cycle(gateways).__next__
    async with Load(lambda: turns().base_url) as load:
        return await load.run(asks, at_once=len(asks))
