"""What people do does not reach calls: pages that ask the database for half a minute, and configuration that changes
ten times a second."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests import migrated, services
from tests.attack import planes
from tests.attack.planes import COUNT, SLEEP, Calls, Dashboards, Memory, compared
from tests.faults import books
from tests.faults.installation import Installation, opened
from tests.faults.load import Ask, Load, Said
from tests.faults.tenants import Tenant, open_tenant, read_books, settle, verified
from tests.servers import Process, Simulator, start_simulator

IS_ALONE = bool(os.environ.get("WEIR_ATTACK"))
PEOPLE, HOURS = 10, 48
STREAMS, EVERY_SECONDS = 100, 0.1
CHANGING_SECONDS = 20.0 if IS_ALONE else 6.0
MEASURED_SECONDS = 1.2 if IS_ALONE else 0.3
ROUNDS = 6 if IS_ALONE else 2  # of what is judged
SCRIPT = "tokens-20,pace-100"
MODELS, DIALECTS = ("claude", "gpt"), ("anthropic", "openai")  # every pair of them
MOST_MB = 256


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with contextlib.ExitStack() as held:
        provider: Simulator = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
        held.callback(provider.stop)
        cluster = held.enter_context(services.postgresql(copied=migrated.cluster()))
        database = replace(cluster, url=migrated.database(cluster.url))
        redis = held.enter_context(services.valkey())
        folder = tmp_path_factory.mktemp("planes")
        yield held.enter_context(opened(folder, provider=provider, database=database, redis=redis))


@pytest.fixture(scope="module")
def tenant(installation: Installation) -> Tenant:
    installation.ask("person", username=planes.PERSON, password=planes.WORD)
    found = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**15}])
    installation.ask("past", tenant=found.id, hours=HOURS, calls=20)
    installation.ask("roll_up")
    return found


@pytest.fixture(scope="module")
def served(installation: Installation) -> Iterator[dict[str, str]]:
    """Addresses by role: a process for calls, one for people, and one for both."""
    environment = planes.environment(installation)

    def serve(role: str) -> Process:
        return planes.serve(sys.executable, role, environment=environment, log=installation.folder / f"{role}.log")

    with contextlib.ExitStack() as held, ThreadPoolExecutor() as starting:
        started = {role: starting.submit(serve, role) for role in ("gateway", "control", "all")}
        processes = {role: one.result() for role, one in started.items()}
        for process in processes.values():
            held.callback(process.stop)
        yield {role: process.announced for role, process in processes.items()}


def were_told(people: Dashboards) -> set[tuple[int, bool, bool]]:
    """Statuses, whether the page says what happened, and whether it says more than it should."""
    shown = [(one.status_code, one.text) for one in people.answers]
    return {(status, "This took too long" in text, "Traceback" in text) for status, text in shown}


@pytest.mark.attack("F33")
@pytest.mark.parametrize(
    ("why", "how", "rounds", "most"), [(SLEEP, "asleep", ROUNDS, 1.1), (COUNT, "on the gateway's cores", 1, None)]
)
def test_calls_do_not_feel_ten_dashboards_of_a_process_beside(
    served, installation, tenant, figure, why, how, rounds, most
):
    """On one machine a database that counts takes the gateway's cores away, as any program there would: that is
    measured, and no promise. What is promised is that calls wait for no lock, pool, connection or thread of pages."""
    people = Dashboards(served["control"], installation.database.url, PEOPLE)
    calls = Calls(served["gateway"], tenant.key)
    with people.signed_in() as client:
        with people.taking(why):
            looked = {"seconds": MEASURED_SECONDS, "rounds": rounds, "most": most if IS_ALONE else None}
            without, beside = compared(calls, people, client, **looked)
        assert client.get(planes.PAGE).status_code == 200
    assert were_told(people) == {(503, True, False)}
    figure("F33", f"p99 beside {PEOPLE} queries of 30 s ({how}) / without", beside / without, most=most)
    figure("F33", f"p99 without queries ({how})", without, "ms")


@pytest.mark.attack("F33")
def test_calls_go_on_in_a_process_that_serves_slow_pages_too(served, installation, tenant, figure):
    """As `make run` has it. Pages have threads and connections of their own; Python they share."""
    people = Dashboards(served["all"], installation.database.url, PEOPLE)
    with people.signed_in() as client, people.taking(SLEEP):
        without, beside = compared(Calls(served["all"], tenant.key), people, client, seconds=MEASURED_SECONDS)
    assert were_told(people) == {(503, True, False)}
    figure("F33", f"p99 in one process with {PEOPLE} queries of 30 s / without", beside / without)


class Changes:
    """Some of all that calls depend on is changed ten times a second, for a while; `made`: so often."""

    def __init__(self, installation: Installation, tenant: Tenant) -> None:
        self.made = 0
        self._installation, self._tenant = installation, tenant

    def make(self) -> None:
        begun = time.monotonic()
        while (left := begun + CHANGING_SECONDS - time.monotonic()) > 0:
            self._installation.ask("change_something", tenant=self._tenant.id, number=self.made)
            self.made += 1
            time.sleep(min(left, max(0.0, begun + EVERY_SECONDS * self.made - time.monotonic())))


def streaming(installation: Installation, tenant: Tenant, url: str, change: Callable[[], None]) -> list[Said]:
    """What callers are told who stream again and again while something changes, and a while after."""

    def ask(number: int) -> Ask:
        return Ask(tenant.key, model=MODELS[number % 2], dialect=DIALECTS[number % 4 // 2], script=SCRIPT)

    async def scenario() -> list[Said]:
        async with Load(lambda: url, tries=1) as load:
            return await load.during(change, ask, at_once=STREAMS)

    return asyncio.run(scenario())


def longest_lag(known: books.Books) -> float:
    """How long, in seconds, a call was still begun at a price that another one had followed."""
    follows: dict[int, datetime.datetime] = {}
    by_deployment = sorted(known.prices, key=lambda row: (row["deployment_id"], row["effective_from"]))
    for price, after in itertools.pairwise(by_deployment):
        if price["deployment_id"] == after["deployment_id"]:
            follows[price["id"]] = moment(after["effective_from"])
    begun = [(moment(row["started_at"]), follows.get(row["price_version"])) for row in known.entries]
    return max((at - next_one).total_seconds() for at, next_one in begun if next_one is not None)


def repriced(known: books.Books) -> list[str]:
    """Calls that were charged by a price that came after they had begun."""
    begins = {price["id"]: moment(price["effective_from"]) for price in known.prices}
    return [row["request_id"] for row in known.entries if begins[row["price_version"]] > moment(row["started_at"])]


def moment(told: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(told)


@pytest.mark.attack("F34")
def test_no_stream_breaks_while_configuration_is_changed_ten_times_a_second(installation, figure):
    """Bytes to their end, what the provider's meter has, at the price that each began with: that is `differences`."""
    tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**15}])
    (gateway,) = installation.start()
    changes = Changes(installation, tenant)
    with Memory(gateway.pid) as memory:
        said = streaming(installation, tenant, gateway.base_url, changes.make)
    settle(installation)
    known = read_books(installation, tenant)
    broken = [one for one in said if (one.status, one.is_whole) != (200, True)]
    assert broken == []
    assert len(said) >= STREAMS
    assert changes.made >= CHANGING_SECONDS  # a tenth of what an idle machine makes
    assert len({row["price_version"] for row in known.entries}) > 2, "prices changed under them"
    assert repriced(known) == []
    assert [*books.differences(known), *verified(installation, tenant)] == []
    assert memory.most - memory.first < MOST_MB
    figure("F34", f"streams broken of {len(said)}, {STREAMS} at a time", len(broken), most=0)
    wanted = CHANGING_SECONDS / EVERY_SECONDS
    figure("F34", f"changes in {CHANGING_SECONDS:.0f} s", changes.made, least=0.75 * wanted)
    figure("F34", "latest use of what was changed", longest_lag(known), "s", most=2.0)
    figure("F34", "memory that it took", memory.most - memory.first, "MB", most=64.0)
