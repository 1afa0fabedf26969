"""Two gateways, PostgreSQL and Valkey: what one learns of a failing provider the other heeds, also when it is alone."""

from __future__ import annotations

import asyncio
import time

from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load
from tests.faults.tenants import Tenant, open_tenant, settled
from tests.servers import until

RULES = {"window": "count", "size": 8, "minimum_calls": 8, "half_open_calls": 4}


def said(gateway: Gateway, tenant: Tenant, script: str = "", *, calls: int = 1) -> list[int]:
    async def ask() -> list[int]:
        async with Load(lambda: gateway.base_url) as load:
            return [(await load.call(Ask(tenant.key, script=script))).status for _ in range(calls)]

    return asyncio.run(ask())


def phases(installation: Installation) -> set[str]:
    told = installation.ask("standings")
    return {phase for name, phase in told.items() if name.startswith("claude at")}


def test_what_one_gateway_opens_the_other_heeds_and_closes_when_it_is_alone(several):
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}])
    several.ask("set_breakers", open_seconds=60.0, **RULES)
    here, there = several.start(2)
    assert said(there, tenant) == [200]
    assert set(said(here, tenant, "500", calls=20)) == {502, 529}
    opened = time.monotonic()
    until(lambda: said(there, tenant) == [529])
    assert time.monotonic() - opened < 3
    until(lambda: phases(several) == {"open"})

    several.ask("set_breakers", open_seconds=1.0, **RULES)  # other rules: what was learned is forgotten
    until(lambda: said(there, tenant) == [200])
    until(lambda: set(said(here, tenant, "500", calls=12)) == {502, 529})
    until(lambda: said(there, tenant) == [529])
    here.kill()
    until(lambda: said(there, tenant, calls=6) == [200] * 6)
    until(lambda: phases(several) == {"closed", "half_open"})  # the fallback's waits for a call
    assert settled(several, tenant) == []
