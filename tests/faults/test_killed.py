"""200 streams and a kill -9: soon after the restart everybody knows what became of each."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.installation import Installation
from tests.faults.load import Ask, Load
from tests.faults.tenants import open_tenant, read_books, settled
from tests.servers import until

STREAMS = 200
KNOWN_SECONDS = 100.0  # it takes one or two; the rest is the machine's
CHUNKS = 12  # a third of a second each: longer than the time between two checkpoints


@pytest.mark.parametrize("which", ["embedded", "several"])
def test_every_stream_of_a_killed_gateway_is_settled_or_bounded_soon_after_the_restart(request, which):
    installation: Installation = request.getfixturevalue(which)
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**13}])
    (gateway,) = installation.start()
    asks = [
        Ask(tenant.key, model=("claude", "gpt")[n % 2], script="tokens-390,pace-300", max_tokens=400)
        for n in range(STREAMS)
    ]

    async def scenario() -> float:
        async with Load(lambda: gateway.base_url, tries=1) as load:
            streams = asyncio.create_task(load.run(asks, at_once=STREAMS))
            while not (len(load.streams) == STREAMS and all(stream.chunks >= CHUNKS for stream in load.streams)):
                assert not load.said, load.said[0]
                await asyncio.sleep(0.05)
            await asyncio.to_thread(gateway.kill)
            restarted = time.monotonic()
            await asyncio.to_thread(installation.start)
            await streams
        return restarted

    restarted = asyncio.run(scenario())
    until(lambda: len(read_books(installation, tenant).entries) >= STREAMS)
    took = time.monotonic() - restarted
    print(f"{STREAMS} streams known {took:.2f} s after the restart")
    assert took <= KNOWN_SECONDS
    assert settled(installation, tenant) == []
    rows = read_books(installation, tenant).entries
    assert {row["state"] for row in rows} == {"unconfirmed"}
    assert all(0 < row["low_nano"] < row["cost_nano"] < row["high_nano"] for row in rows)
