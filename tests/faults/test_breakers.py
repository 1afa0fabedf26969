"""Two gateways, PostgreSQL and Valkey: what one learns of a failing provider the other heeds, also when it is alone."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load
from tests.faults.storms import Storm
from tests.faults.tenants import Tenant, open_tenant, settled
from tests.servers import until

RULES = {"window": "count", "size": 8, "minimum_calls": 8, "half_open_calls": 4}


def said(gateway: Gateway, tenant: Tenant, script: str = "", *, calls: int = 1, model: str = "claude") -> list[int]:
    async def ask() -> list[int]:
        async with Load(lambda: gateway.base_url) as load:
            return [(await load.call(Ask(tenant.key, model=model, script=script))).status for _ in range(calls)]

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
    assert time.monotonic() - opened < 20  # not after its own failures, nor when the 60 s are over
    until(lambda: phases(several) == {"open"})

    several.ask("set_breakers", open_seconds=1.0, **RULES)  # other rules: what was learned is forgotten
    until(lambda: said(there, tenant) == [200])
    until(lambda: set(said(here, tenant, "500", calls=12)) == {502, 529})
    until(lambda: said(there, tenant) == [529])
    here.kill()
    until(lambda: said(there, tenant, calls=6) == [200] * 6)
    until(lambda: phases(several) == {"closed", "half_open"})  # the fallback's waits for a call
    assert settled(several, tenant) == []


@pytest.mark.parametrize("fault", ["kill", "500"])
def test_a_provider_that_is_well_again_is_back_at_both_gateways_after_one_half_open_round(several, fault):
    rules = {f"breaker_{name}": value for name, value in RULES.items()}
    storm = Storm(several, fault, breaker_open_seconds=3.0, **rules)
    here, there = storm.gateways
    try:
        assert said(there, storm.tenant, calls=6, model=storm.model) == [200] * 6
        storm.strike()

        def are_open() -> bool:
            """Only one of them asks, so the other has it from there; while nobody asks no round is under way."""
            if storm.phases() == [2, 2]:
                return True
            if storm.phases()[:1] != [2]:
                assert said(here, storm.tenant, calls=6, model=storm.model) == [200] * 6
            return False

        until(are_open)
        storm.heal()
        before = storm.changes()

        def are_closed() -> bool:
            for gateway in (here, there):
                assert said(gateway, storm.tenant, calls=3, model=storm.model) == [200] * 3
            return storm.phases() == [0, 0]

        until(are_closed)
        grown = storm.changes() - before
        assert 1 <= grown["half_open"] <= 2  # one at each, or what one found the other heard
        assert grown["closed"] == 2
        assert settled(several, storm.tenant) == []
    finally:
        storm.close()
