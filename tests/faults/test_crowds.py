"""Two gateways and a provider that takes four calls at once: a flood, somebody else's few calls, and who gives up."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools

import redis

from apps.simulator.meter import Reading
from tests.faults import books
from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.storms import OPERATOR, metric
from tests.faults.tenants import Tenant, open_tenant, read_books, settle, verified
from tests.servers import UNTIL_SECONDS, until

MODEL, UPSTREAM = "crowded", "crowded-0"
PLACES = 4  # at both gateways together
FLOOD, LEAVE, OTHER = 50, 10, 5  # calls to each gateway; those that leave are the flooding tenant's too
SCRIPT = "slow-60,tokens-8"
QUEUE = {"queue_places": 200, "queue_seconds": 120.0, "first_byte_timeout": 120.0, "breaker_minimum_calls": 100_000}
GAUGES = ("weir_deployment_in_flight", "weir_queue_waiting")
Call = asyncio.Task[Said]


def total(gateway: Gateway, name: str) -> float:
    return sum(value for _, value in metric(gateway, name, model=UPSTREAM))


def counted(installation: Installation) -> int:
    """Calls under way, as the counters have them that gateways share."""
    assert installation.redis is not None
    with redis.Redis.from_url(installation.redis.url) as store:
        return sum(store.zcard(key) for key in store.scan_iter("weir:{limits}:*:places"))


async def share_the_room(gateways: list[Gateway], tenant: Tenant) -> None:
    """Until each has heard of the other."""
    for gateway in gateways:
        async with Load(lambda url=gateway.base_url: url) as load:
            seen = 0.0
            while seen != PLACES / len(gateways):
                call = asyncio.create_task(load.call(Ask(tenant.key, model=MODEL, script=SCRIPT)))
                while not call.done():
                    seen = await asyncio.to_thread(total, gateway, "weir_deployment_room") or seen


async def crowd(installation: Installation, loads: list[Load], flooding: Tenant, other: Tenant) -> list[list[Said]]:
    """Everybody comes while all places are held. When some have given up the places are free. What became of those who
    stayed: the flood's at each gateway, then the other's at each."""

    def ask(tenant: Tenant, count: int, script: str = SCRIPT) -> list[list[Call]]:
        asked = Ask(tenant.key, model=MODEL, script=script, max_tokens=20)
        asks = [dataclasses.replace(asked, stream=n % 2 == 0) for n in range(count)]
        return [[asyncio.create_task(load.call(one)) for one in asks] for load in loads]

    async def there_are(calls: int) -> None:
        async with asyncio.timeout(UNTIL_SECONDS):
            while await asyncio.to_thread(counted, installation) != calls * len(loads):
                await asyncio.sleep(0.01)

    holders = ask(flooding, PLACES // len(loads), "stall")
    await there_are(PLACES // len(loads))
    stay, leave = ask(flooding, FLOOD), ask(flooding, LEAVE)
    await there_are(PLACES // len(loads) + FLOOD + LEAVE)
    few = ask(other, OTHER)
    await there_are(PLACES // len(loads) + FLOOD + LEAVE + OTHER)
    await give_up(leave)
    await there_are(PLACES // len(loads) + FLOOD + OTHER)  # at once, though nobody has been served
    await give_up(holders)
    served = [await asyncio.gather(*calls) for calls in (*stay, *few)]
    assert {(one.status, one.is_whole) for calls in served for one in calls} == {(200, True)}
    return served


async def give_up(calls: list[list[Call]]) -> None:
    for call in itertools.chain.from_iterable(calls):
        call.cancel()
    await asyncio.gather(*itertools.chain.from_iterable(calls), return_exceptions=True)


def at_once(readings: list[Reading]) -> int:
    """The most that the provider answered at a time."""
    moments = sorted((at, step) for one in readings for at, step in ((one.opened_at, 1), (one.closed_at, -1)))
    return max(itertools.accumulate(step for _, step in moments))


def together(one: books.Books, other: books.Books) -> books.Books:
    both = {name: getattr(one, name) + getattr(other, name) for name in ("entries", "windows", "leases", "gaps")}
    return dataclasses.replace(one, **both)


def test_a_flood_at_two_gateways_keeps_to_the_room_takes_turns_and_leaves_nothing_behind(several):
    several.ask("deploy", name=MODEL, urls=[several.provider.base_url], max_concurrency=PLACES, **QUEUE)
    flooding, other = (open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}]) for _ in range(2))
    for tenant in (flooding, other):
        several.ask("set_limit", tenant=tenant.id, concurrency=1_000)
    gateways = several.start(2, WEIR_OPERATOR_TOKEN=OPERATOR)
    first = []

    async def scenario() -> list[list[Said]]:
        await share_the_room(gateways, flooding)
        first.append(len(several.provider.readings()))
        urls = [gateway.base_url for gateway in gateways]
        async with Load(lambda: urls[0]) as here, Load(lambda: urls[1]) as there:
            return await crowd(several, [here, there], flooding, other)

    served = asyncio.run(scenario())
    until(lambda: counted(several) == 0)
    until(lambda: not any(total(one, name) for one in gateways for name in GAUGES))
    settle(several)
    known = together(read_books(several, flooding), read_books(several, other))
    assert [*books.differences(known), *verified(several, flooding), *verified(several, other)] == []
    asked = several.provider.readings()[first[0] :]
    assert len(asked) == PLACES + 2 * (FLOOD + OTHER)  # of those who gave up it never heard
    assert at_once([one for one in asked if one.outcome == "end"]) == PLACES
    order = [one.caller.partition("/")[0].replace("-", "") for one in asked[PLACES:]]
    for flood, few in zip(served[:2], served[2:], strict=True):  # each gateway has a line of its own
        of_flood, of_few = (
            [order.index(one.request_id.removeprefix("req_")) for one in calls] for calls in (flood, few)
        )
        ahead = OTHER + sum(place < max(of_few) for place in of_flood)
        assert ahead <= 2 * OTHER + PLACES // 2  # alone they would all be served after OTHER calls
    trails = [entry["trail"] for entry in known.entries if entry["tenant_id"] == other.id]
    assert all(any(step.startswith("waited ") for step in trail) for trail in trails)
