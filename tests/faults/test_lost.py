"""Processes that are given up: one that was only paused comes back with its truth, one that is gone with its disk
leaves bounds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.faults.books import Books, metered
from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, read_books, settled
from tests.servers import until

AMOUNT = 10**12
STREAMS = 8
UNCONFIRMED, CORRECTION = 2, 3


@pytest.fixture(params=["embedded", "several"])
def installation(request: pytest.FixtureRequest) -> Installation:
    found: Installation = request.getfixturevalue(request.param)
    return found


class Streams:
    """Callers of one gateway, all of whom have had a byte when the block begins."""

    def __init__(self, gateway: Gateway, tenant: Tenant, *, script: str) -> None:
        self.said: list[Said] = []
        self._load = Load(lambda: gateway.base_url, tries=1)
        self._asks = [Ask(tenant.key, script=script, max_tokens=300) for _ in range(STREAMS)]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Streams:
        self._thread.start()
        until(lambda: len(self._load.streams) == STREAMS)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def end(self) -> list[Said]:
        self._thread.join()
        return self.said

    async def _run(self) -> None:
        async with self._load as load:
            self.said = await load.run(self._asks, at_once=STREAMS)


def gated(installation: Installation, **settings: Any) -> Gateway:
    (gateway,) = installation.start(WEIR_FIRST_BYTE_GATE="database", **settings)
    return gateway


def rows(installation: Installation, tenant: Tenant, kind: int) -> Sequence[dict[str, Any]]:
    return [row for row in read_books(installation, tenant).entries if row["kind"] == kind]


def open_gaps(installation: Installation, tenant: Tenant) -> list[int]:
    return [gap["amount"] for gap in read_books(installation, tenant).gaps if gap["closed_at"] is None]


@pytest.mark.parametrize("how", ["reaper", "operator"])
def test_a_process_that_wakes_after_it_was_given_up_corrects_what_was_thought_of_it(installation, how):
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": AMOUNT}])
    gateway = gated(installation)
    with Streams(gateway, tenant, script="long,pace-5") as streams:
        gateway.stop()
        installation.ask("silence", name=gateway.name)
        if how == "operator":
            installation.ask("lose", name=gateway.name)
        else:
            installation.ask("reap")  # fences it
            installation.ask("silence", name=gateway.name)  # and that an hour ago
            installation.ask("reap")
        doubted = rows(installation, tenant, UNCONFIRMED)
        assert len(doubted) == STREAMS
        assert all(row["low_nano"] == 0 < row["high_nano"] == row["reserved_nano"] for row in doubted)
        (gap,) = open_gaps(installation, tenant)
        (window,) = read_books(installation, tenant).windows
        assert window["settled"] == sum(row["high_nano"] for row in doubted)
        assert window["held"] == 0
        if installation.redis is not None:
            assert gap < AMOUNT  # others could spend the rest all the time
        assert epochs(installation, gateway) == []
        assert installation.ask("recover", folder=str(installation.journals)) == [
            0,
            0,
            0,
        ]  # its journal is still its own
        (listed,) = json.loads(installation.ask("run", command="journals", arguments=["--json"])["output"])
        assert (listed["state"], listed["open_attempts"]) == ("live", STREAMS)
        gateway.resume()
        said = streams.end()
    assert [(one.status, one.is_whole) for one in said] == [(200, True)] * STREAMS
    until(lambda: len(rows(installation, tenant, CORRECTION)) == STREAMS)
    assert rows(installation, tenant, CORRECTION)[0]["state"] == "settled"
    until(lambda: epochs(installation, gateway))
    assert asyncio.run(one_call(gateway, tenant)).status == 200
    assert "this replica was taken for dead" in gateway.output()
    assert settled(installation, tenant) == []
    assert open_gaps(installation, tenant) == []
    assert list(installation.journals.glob("*")) == []


def test_a_process_that_wakes_in_its_quarantine_goes_on_under_another_epoch(installation):
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": AMOUNT}])
    gateway = gated(installation)
    with Streams(gateway, tenant, script="long,pace-5") as streams:
        gateway.stop()
        installation.ask("silence", name=gateway.name)
        installation.ask("reap")
        assert epochs(installation, gateway) == [2]
        (window,) = read_books(installation, tenant).windows
        assert window["held"] > 0  # nobody else may have what it holds
        gateway.resume()
        said = streams.end()
    assert [(one.status, one.is_whole) for one in said] == [(200, True)] * STREAMS
    until(lambda: "this replica was taken for dead" in gateway.output())
    assert asyncio.run(one_call(gateway, tenant)).status == 200
    assert epochs(installation, gateway) == [2]
    assert {lease["epoch"] for lease in read_books(installation, tenant).leases} == {1, 2}
    assert settled(installation, tenant) == []
    assert rows(installation, tenant, UNCONFIRMED) == []
    assert read_books(installation, tenant).gaps == []


def epochs(installation: Installation, gateway: Gateway) -> list[int]:
    """Of its replica, if there is one."""
    found = installation.ask("replicas")
    return [replica["epoch"] for replica in found if replica["name"].startswith(gateway.name)]


async def one_call(gateway: Gateway, tenant: Tenant) -> Said:
    async with Load(lambda: gateway.base_url) as load:
        return await load.call(Ask(tenant.key))


@pytest.mark.parametrize("gate", ["database", "journal"])
def test_a_host_that_is_lost_with_its_disk_leaves_bounds_and_its_disk_is_welcome_later(installation, tmp_path, gate):
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": AMOUNT}])
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    (gateway,) = installation.start(journal=disk, WEIR_FIRST_BYTE_GATE=gate)
    with Streams(gateway, tenant, script="long,pace-5"):
        gateway.kill()
        disk.rename(elsewhere)
    installation.ask("silence", name=gateway.name)
    installation.ask("lose", name=gateway.name)
    known = read_books(installation, tenant)
    (gap,) = open_gaps(installation, tenant)
    truth = {caller: metered(reading, card(known), known.cards) for caller, reading in known.metered().items()}
    assert len(truth) == STREAMS
    if gate == "database":  # each of them had a byte
        high = {caller: rows[0]["high_nano"] for caller, rows in known.attempts().items()}
        assert high.keys() == truth.keys()
        assert all(truth[caller] <= high[caller] for caller in truth)
    assert sum(truth.values()) <= sum(row["high_nano"] for row in known.entries) + gap
    assert asyncio.run(one_call(*installation.start(), tenant)).status == 200

    elsewhere.rename(installation.journals / "found")
    installation.ask("recover", folder=str(installation.journals / "found"))
    (installation.journals / "found").rmdir()
    assert open_gaps(installation, tenant) == []
    assert settled(installation, tenant) == []


def card(known: Books) -> dict[str, Any]:
    """A row at the price of all calls here."""
    return {"price_version": min(known.cards)}
