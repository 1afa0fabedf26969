"""This release beside the one before: one database, one folder of journals, one Valkey. An upgrade and the way back."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import releases
from tests.faults.conftest import new_database
from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, read_books, settled
from tests.faults.test_exactly import COST, SPENT, ask, until_spent
from tests.faults.test_rolling import NOTICE_SECONDS, Balancer, replace_oldest
from tests.servers import ROOT, until

CALLERS = 10
STREAMS = 8
SCRIPT = "tokens-60,pace-20"
PLENTY = [{"of": "tenant", "amount": 10**13}]
_numbers = itertools.count(1)
pytestmark = pytest.mark.timeout(900)  # two releases migrate a database before the first test


@dataclass(frozen=True)
class Upgraded:
    """An installation that the older release has made and this one has migrated while the older one served."""

    installation: Installation
    older: Path
    tenant: Tenant
    said: list[Said]  # what callers of the older one were told meanwhile


@pytest.fixture(scope="session")
def older(tmp_path_factory) -> Path:
    return releases.unpack(tmp_path_factory.mktemp("older"))


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory, provider, cluster, valkey, older) -> Iterator[Upgraded]:
    folder = tmp_path_factory.mktemp("upgraded")
    stores = {"database": new_database(cluster, "releases"), "redis": valkey}
    installation = Installation(folder / "installation", provider=provider, **stores)
    try:
        migrate(installation, tree=older)
        installation.ask("seed", tree=older, simulator_url=provider.base_url)
        tenant = open_tenant(installation, tree=older, budgets=PLENTY)
        gateways = installation.start(2, tree=older)
        said = asyncio.run(streams_while(gateways, tenant, lambda _: migrate(installation, tree=ROOT)))
        yield Upgraded(installation, older, tenant, said)
    finally:
        installation.close()


def migrate(installation: Installation, *, tree: Path) -> None:
    assert installation.database is not None
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    environment = {**os.environ, **installation.environment(installation.database.url, "")}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def streams_while(gateways: list[Gateway], tenant: Tenant, change: Callable[[Balancer], None]) -> list[Said]:
    """What callers are told who stream from ready gateways, again and again, while something changes."""
    over = asyncio.Event()

    async def caller(load: Load, number: int) -> None:
        while not over.is_set():
            await load.call(Ask(tenant.key, dialect=("anthropic", "openai")[number % 2], script=SCRIPT))

    with Balancer(gateways) as balancer:
        async with Load(balancer.choose) as load:
            callers = asyncio.gather(*(caller(load, number) for number in range(CALLERS)))
            try:
                await asyncio.to_thread(change, balancer)
            finally:
                over.set()
            await callers
            return load.said


def is_faultless(said: list[Said]) -> bool:
    return len(said) >= CALLERS and {(one.status, one.is_whole) for one in said} == {(200, True)}


def test_the_release_before_is_the_one_that_the_changelog_names(older):
    assert releases.versions(ROOT)[1] == releases.versions(older)[0]


def test_nobody_notices_that_the_database_is_migrated_under_the_older_release(upgraded):
    assert is_faultless(upgraded.said)


def test_an_upgrade_and_the_way_back_cut_no_stream_and_refuse_nobody(upgraded):
    installation = upgraded.installation
    tenant = open_tenant(installation, budgets=PLENTY)
    gateways = installation.start(2, tree=upgraded.older, WEIR_PRESTOP_SECONDS=NOTICE_SECONDS)

    def there_and_back(balancer: Balancer) -> None:
        for tree in (ROOT, upgraded.older):
            for _ in list(gateways):
                replace_oldest(installation, balancer, tree=tree)

    assert is_faultless(asyncio.run(streams_while(gateways, tenant, there_and_back)))
    assert settled(installation, tenant) == []


def test_two_releases_race_for_one_budget_and_admit_exactly_what_it_pays_for(upgraded):
    installation, calls = upgraded.installation, 300
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": calls * COST}])
    gateways = [*installation.start(tree=upgraded.older), *installation.start()]
    said = asyncio.run(until_spent(gateways, tenant, callers=50))
    assert sum(one.status == 200 for one in said) == calls
    assert {one.code for one in said if one.status != 200} <= set(SPENT)
    assert settled(installation, tenant) == []


@pytest.mark.parametrize("heir", ["this release", "the one before"])
def test_the_journal_of_a_killed_gateway_is_taken_over_by_one_of_the_other_release(upgraded, heir):
    """Streams of which nobody knows the end, and answers that were given and not forwarded."""
    installation = upgraded.installation
    trees = (upgraded.older, ROOT) if heir == "this release" else (ROOT, upgraded.older)
    tenant = open_tenant(installation, budgets=PLENTY)
    (victim,) = installation.start(tree=trees[0], failpoint="forward.before_commit:kill")
    streams = [Ask(tenant.key, script="tokens-390,pace-300", max_tokens=400)] * STREAMS

    async def scenario() -> Said:
        async with Load(lambda: victim.base_url, tries=1) as load:
            running = asyncio.create_task(load.run(streams, at_once=STREAMS))
            while not (len(load.streams) == STREAMS and all(stream.chunks for stream in load.streams)):
                await asyncio.sleep(0.05)
            answered = await load.call(ask(tenant))
            await running
        return answered

    answered = asyncio.run(scenario())
    assert answered.status == 200
    assert victim.collect() == -signal.SIGKILL
    assert read_books(installation, tenant).entries == []
    installation.start(tree=trees[1])
    until(lambda: len(read_books(installation, tenant).entries) == STREAMS + 1)
    assert settled(installation, tenant) == []
    states = [row["state"] for row in read_books(installation, tenant).entries]
    assert (states.count("unconfirmed"), states.count("settled")) == (STREAMS, 1)


@pytest.mark.parametrize("desk", ["this release", "the one before"])
def test_what_either_release_changes_both_follow(upgraded, desk):
    """A new model, a new key, a limit: whoever writes the configuration, both compile a snapshot of it."""
    installation = upgraded.installation
    tree = ROOT if desk == "this release" else upgraded.older
    gateways = [*installation.start(tree=upgraded.older), *installation.start()]
    name = f"shared{next(_numbers)}"
    installation.ask("deploy", tree=tree, name=name, urls=[installation.provider.base_url])
    installation.ask("keep_answers", tree=tree, model=name)
    tenant = open_tenant(installation, tree=tree, budgets=PLENTY)

    def asked(gateway: Gateway, *, question: int = 8) -> Said:
        async def call() -> Said:
            async with Load(lambda: gateway.base_url, tries=1) as load:
                ask = Ask(tenant.key, model=name, stream=False, script="tokens-8", max_tokens=question)
                return await load.call(ask)

        return asyncio.run(call())

    def is_given_again(gateway: Gateway, *, question: int) -> bool:
        before = installation.provider.seen()
        return asked(gateway, question=question).status == 200 and installation.provider.seen() == before

    for gateway in gateways:
        until(lambda gateway=gateway: asked(gateway).status == 200)
        until(lambda gateway=gateway: is_given_again(gateway, question=8))
    for question, (one, other) in enumerate(itertools.permutations(gateways), start=9):
        # The one before seals answers otherwise: each finds its own, beside the other's.
        until(lambda one=one, question=question: is_given_again(one, question=question))
        until(lambda other=other, question=question: is_given_again(other, question=question))
        assert is_given_again(one, question=question)
    installation.ask("set_limit", tree=tree, tenant=tenant.id, requests_per_minute=1)
    for gateway in gateways:
        until(lambda gateway=gateway: asked(gateway).status == 429)
    assert settled(installation, tenant) == []
