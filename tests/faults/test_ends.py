"""A gateway ends, told to or not, while calls wait for a place, for somebody else's answer, or for either of two."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from dataclasses import replace

import pytest

from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, read_books, settled
from tests.faults.test_crowds import counted
from tests.servers import until

CALLS = 6
SOON, NEVER = "slow-2000,tokens-8", "stall"
PATIENT, IMPATIENT = 60.0, 1.0  # seconds that a gateway has to end
END_SECONDS = 15.0  # beyond these: what is cancelled is settled, on a busy machine
CALM = {"first_byte_timeout": 120.0, "breaker_minimum_calls": 100_000}
UNCONFIRMED = 2
_numbers = itertools.count(1)


def deployed(installation: Installation, kind: str) -> str:
    """A model whose calls wait in this way: in a `queue`, as `followers` of the first that asks, or with two `legs`."""
    name = f"ending{next(_numbers)}"
    url = installation.provider.base_url
    fields = {
        "queue": {"max_concurrency": 1, "queue_places": 100, "queue_seconds": 120.0},
        "followers": {},
        "legs": {"hedge_after": 0.1},
    }
    urls = [url] * (2 if kind == "legs" else 1)
    installation.ask("deploy", name=name, urls=urls, **CALM, **fields[kind])
    if kind == "followers":
        installation.ask("keep_answers", model=name)
    return name


def asks(tenant: Tenant, *, model: str, kind: str, script: str) -> list[Ask]:
    """Of both dialects; those that are to be equal are."""
    first = Ask(tenant.key, model=model, stream=False, script=script, max_tokens=100)
    if kind == "followers":
        return [first] * CALLS
    return [replace(first, dialect=("anthropic", "openai")[n % 2]) for n in range(CALLS)]


def told_to_end(installation: Installation, gateway: Gateway, calls: list[Ask], *, upstream: int) -> list[Said]:
    """What becomes of calls during which the gateway is told to end: all are under way, and the provider knows of so
    many."""
    before = installation.provider.seen()

    def all_are_there() -> bool:
        return counted(installation) == len(calls) and installation.provider.seen() - before == upstream

    async def scenario() -> list[Said]:
        async with Load(lambda: gateway.base_url, tries=1) as load:
            under_way = asyncio.create_task(load.run(calls, at_once=len(calls)))
            await asyncio.to_thread(until, all_are_there)
            gateway.tell_to_end()
            return await under_way

    return asyncio.run(scenario())


@pytest.mark.parametrize("script", [SOON, NEVER])
@pytest.mark.parametrize("kind", ["queue", "followers", "legs"])
def test_who_waits_when_a_gateway_is_told_to_end_is_answered_or_told_to_come_again(several, kind, script):
    model = deployed(several, kind)
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}])
    several.ask("set_limit", tenant=tenant.id, concurrency=1_000)
    seconds = PATIENT if script == SOON else IMPATIENT
    (gateway,) = several.start(WEIR_DRAIN_SECONDS=seconds)
    before, began = several.provider.seen(), time.monotonic()
    upstream = 2 * CALLS if kind == "legs" else 1
    said = told_to_end(several, gateway, asks(tenant, model=model, kind=kind, script=script), upstream=upstream)
    assert gateway.collect() == 0
    assert time.monotonic() - began < seconds + END_SECONDS
    assert len(said) == CALLS
    if script == SOON:
        assert {(one.status, one.is_whole) for one in said} == {(200, True)}
        assert several.provider.seen() - before == (CALLS if kind == "queue" else upstream)
    else:
        assert {(one.status, one.code) for one in said} <= {(503, "overloaded"), (529, "overloaded_error")}
        assert all(int(one.retry_after) >= 1 for one in said)
    assert counted(several) == 0
    assert settled(several, tenant) == []


@pytest.mark.parametrize("place", ["attempt.intended:kill:2", ""])
def test_a_gateway_killed_between_two_legs_leaves_both_in_the_books_once(several, place):
    """When the second leg's intent is on disk and nobody was asked, and when both are under way."""
    model = deployed(several, "legs")
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}])
    (gateway,) = several.start(failpoint=place)
    before = several.provider.seen()

    async def scenario() -> Said:
        async with Load(lambda: gateway.base_url, tries=1) as load:
            call = asyncio.create_task(load.call(Ask(tenant.key, model=model, stream=False, script=NEVER)))
            if not place:
                await asyncio.to_thread(until, lambda: several.provider.seen() == before + 2)
                gateway.kill()
            return await call

    assert asyncio.run(scenario()).status == 0
    assert gateway.collect() == -signal.SIGKILL
    several.start()
    until(lambda: len(read_books(several, tenant).entries) == 2)
    assert settled(several, tenant) == []
    rows = read_books(several, tenant).entries
    assert [(row["attempt"], row["kind"]) for row in rows] == [(1, UNCONFIRMED), (2, UNCONFIRMED)]
    assert several.provider.seen() - before == (1 if place else 2)


def test_a_gateway_killed_after_it_gave_a_kept_answer_loses_no_more_than_that_row(embedded):
    """In one process: where Redis keeps answers one that is late is asked for anew."""
    model = deployed(embedded, "followers")
    tenant = open_tenant(embedded, budgets=[{"of": "tenant", "amount": 10**13}])

    def asked(gateway: Gateway) -> Said:
        async def call() -> Said:
            async with Load(lambda: gateway.base_url, tries=1) as load:
                return await load.call(Ask(tenant.key, model=model, stream=False, script="tokens-8"))

        return asyncio.run(call())

    before, told, paid = embedded.provider.seen(), [], 0
    for _ in range(3):
        (gateway,) = embedded.start()
        told.append(asked(gateway))
        paid = embedded.provider.seen() - before
        until(lambda: sum(row["cached"] is None for row in read_books(embedded, tenant).entries) == paid)  # noqa: B023
        told += [asked(gateway) for _ in range(3)]
        gateway.kill()
    assert {(one.status, one.is_whole) for one in told} == {(200, True)}
    assert embedded.provider.seen() - before == paid == 3  # each process keeps its own
    assert settled(embedded, tenant) == []
    rows = read_books(embedded, tenant).entries
    assert sum(row["cached"] is None for row in rows) == paid
    hits = [row for row in rows if row["cached"] is not None]
    assert len(hits) <= len(told) - paid
    assert {(row["cost_nano"], row["high_nano"], row["in_fresh"], row["out_total"]) for row in hits} <= {(0, 0, 0, 0)}
