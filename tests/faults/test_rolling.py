"""A new release goes out while people work: nobody's stream is cut, nobody is refused."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import open_tenant, settled
from tests.servers import until

CALLERS = 50
RESTARTS = 3
NOTICE_SECONDS = 3.0  # for the balancer to see that a replica leaves
LOOK_SECONDS = 0.1


class Balancer:
    """Sends calls to replicas that say they are ready, and asks each of them ten times a second."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = gateways
        self.ready = list(gateways)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Balancer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def choose(self) -> str:
        return random.choice(self.ready).base_url

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.ready = [gateway for gateway in list(self.gateways) if gateway.is_ready()]


def replace_oldest(installation: Installation, balancer: Balancer, **options: Any) -> None:
    """Its successor, which the `options` are of, serves before it is told to end."""
    old = balancer.gateways[0]
    (successor,) = installation.start(WEIR_PRESTOP_SECONDS=NOTICE_SECONDS, **options)
    balancer.gateways.append(successor)
    until(lambda: successor in balancer.ready)
    old.tell_to_end()
    assert old.collect() == 0
    balancer.gateways.remove(old)


def restart_all(installation: Installation, balancer: Balancer) -> None:
    for _ in range(RESTARTS):
        replace_oldest(installation, balancer)


def test_a_rolling_restart_under_50_streams_truncates_none_and_refuses_none(several):
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}])
    script = "tokens-60,pace-20"

    async def scenario(balancer: Balancer) -> list[Said]:
        over = asyncio.Event()

        async def caller(load: Load, number: int) -> None:
            while not over.is_set():
                await load.call(Ask(tenant.key, dialect=("anthropic", "openai")[number % 2], script=script))

        async with Load(balancer.choose) as load:
            callers = asyncio.gather(*(caller(load, number) for number in range(CALLERS)))
            try:
                await asyncio.to_thread(restart_all, several, balancer)
            finally:
                over.set()
            await callers
            return load.said

    with Balancer(several.start(2, WEIR_PRESTOP_SECONDS=NOTICE_SECONDS)) as balancer:
        said = asyncio.run(scenario(balancer))
    assert len(said) > CALLERS * RESTARTS
    assert {(one.status, one.is_whole) for one in said} == {(200, True)}
    assert settled(several, tenant) == []
