"""A budget that several processes race for: spent to the last call, and not one call more."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.faults.desk import EXACT, EXACT_PRICE
from tests.faults.installation import Gateway, Installation, opened
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, read_books, settled

TOKENS = 10
COST = TOKENS * EXACT_PRICE["output"] // 10**6  # of every call here, and what is reserved for it
CALLS = 1_000
CALLERS = 200  # of each process
PROCESSES = 3
SPENT = ("insufficient_quota", "billing_error")  # as each dialect says that there will be no more
PATIENCE_SECONDS = 180.0
BACK_SECONDS = 60.0


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory, provider, valkey, blank) -> Iterator[Installation]:
    """Several gateways on one SQLite file: their limits meet in Valkey, their money in the file."""
    folder = tmp_path_factory.mktemp("shared")
    with opened(folder, provider=provider, blank=blank, redis=valkey) as installation:
        yield installation


def ask(tenant: Tenant) -> Ask:
    return Ask(tenant.key, model=EXACT, stream=False, script=f"tokens-{TOKENS}", max_tokens=TOKENS)


async def until_spent(gateways: Sequence[Gateway], tenant: Tenant, *, callers: int) -> list[Said]:
    """So many callers of each gateway; each calls until it is told that the budget is spent."""
    deadline = time.monotonic() + PATIENCE_SECONDS

    async def caller(load: Load) -> None:
        while time.monotonic() < deadline and (await load.call(ask(tenant))).code not in SPENT:
            pass

    loads = [await Load(lambda gateway=gateway: gateway.base_url, tries=1).__aenter__() for gateway in gateways]
    await asyncio.gather(*(caller(load) for load in loads for _ in range(callers)))
    for load in loads:
        await load.__aexit__()
    return [said for load in loads for said in load.said]


@pytest.mark.parametrize("which", ["shared_file", "several"])
def test_three_processes_of_200_callers_admit_exactly_1000_calls_of_1000(request, which):
    installation: Installation = request.getfixturevalue(which)
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": CALLS * COST}])
    gateways = installation.start(PROCESSES)
    said = asyncio.run(until_spent(gateways, tenant, callers=CALLERS))
    assert sum(one.status == 200 for one in said) == CALLS
    assert {one.status for one in said} == {200, 429}
    assert settled(installation, tenant) == []
    books = read_books(installation, tenant)
    assert len(books.readings) == CALLS
    assert [(window["settled"], window["held"]) for window in books.windows] == [(CALLS * COST, 0)]


def test_one_caller_of_three_processes_in_turn_is_refused_when_the_budget_is_spent_and_not_before(several):
    calls = 400
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": calls * COST}])
    turns = itertools.cycle(several.start(PROCESSES))

    async def in_turn() -> int:
        async with Load(lambda: next(turns).base_url) as load:
            while (await load.call(ask(tenant))).status == 200:
                pass
            return len(load.said) - 1

    assert asyncio.run(in_turn()) >= 0.99 * calls
    assert settled(several, tenant) == []


def test_what_a_killed_process_held_of_the_budget_comes_back_to_the_others(several):
    calls = 400
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": calls * COST}])
    dead, *living = several.start(PROCESSES)

    async def scenario() -> None:
        async with Load(lambda: dead.base_url, tries=1) as load:
            for _ in range(20):
                assert (await load.call(ask(tenant))).status == 200
        dead.kill()
        deadline = time.monotonic() + BACK_SECONDS
        admitted = 20
        while admitted < calls and time.monotonic() < deadline:
            admitted += sum(one.status == 200 for one in await until_spent(living, tenant, callers=4))
            await asyncio.sleep(0.2)
        assert admitted == calls

    asyncio.run(scenario())
    assert settled(several, tenant) == []
