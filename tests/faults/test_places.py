"""A gateway killed at each of the named places: whatever it was about to do, its successor finishes it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load
from tests.faults.plan import PLACES
from tests.faults.tenants import Tenant, open_tenant, settled
from tests.servers import until

CALLERS = 6
SHORT, LONG = "tokens-20,pace-5", "tokens-60,pace-50"  # longer than the time between two checkpoints


def asks(tenant: Tenant, *, script: str) -> list[Ask]:
    return [
        Ask(tenant.key, model=("claude", "gpt")[n % 2], script=script, stream=n % 3 > 0) for n in range(3 * CALLERS)
    ]


def talk(gateway: Gateway, tenant: Tenant, *, script: str = SHORT) -> None:
    async def play() -> None:
        async with Load(lambda: gateway.base_url, tries=1) as load:
            await load.run(asks(tenant, script=script), at_once=CALLERS)

    asyncio.run(play())


@pytest.mark.parametrize("place", PLACES)
def test_a_gateway_killed_there_leaves_nothing_that_its_successor_does_not_settle(embedded: Installation, place):
    tenant = open_tenant(embedded, budgets=[{"of": "tenant", "amount": 10**12}, {"of": "key", "amount": 10**12}])
    if place.startswith("recover."):  # there must be something to recover
        (first,) = embedded.start()
        talk(first, tenant)
        first.kill()
    killed = embedded.begin(failpoint=f"{place}:kill:1", WEIR_FIRST_BYTE_GATE="database")
    if killed.wait_until_it_serves():
        talk(killed, tenant, script=LONG if place == "attempt.checkpoint" else SHORT)
    until(lambda: not killed.lives)
    assert killed.collect() == -signal.SIGKILL
    (successor,) = embedded.start()
    talk(successor, tenant)
    assert settled(embedded, tenant) == []
    assert list(embedded.journals.iterdir()) == []
