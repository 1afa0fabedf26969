from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests import migrated, services
from tests.faults import rounds
from tests.faults.installation import Installation, opened
from tests.servers import Simulator, start_simulator


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Says things as fast as it can; what is to take time says so, as `pace-20`."""
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def cluster() -> Iterator[services.Service]:
    """This worker's own PostgreSQL, so that it may be stopped."""
    with services.postgresql(copied=migrated.cluster()) as service:
        yield service


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Path:
    """A `var` with migrated and seeded books in it, to be copied: migrating takes longer than most tests."""
    with opened(tmp_path_factory.mktemp("blank"), provider=provider) as installation:
        return installation.var


@pytest.fixture(scope="session")
def blank_database(
    tmp_path_factory: pytest.TempPathFactory, provider: Simulator, cluster: services.Service
) -> tuple[Path, str]:
    """The same on PostgreSQL: a `var` and the name of a database."""
    database = new_database(cluster, "blank", template=migrated.NAME)
    with opened(tmp_path_factory.mktemp("blank-database"), provider=provider, database=database) as installation:
        return installation.var, "blank"


def new_database(cluster: services.Service, name: str, *, template: str = "template1") -> services.Service:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[arg-type]  # our own words
        connection.execute("CHECKPOINT")  # or else a crash would set copied sequences back to what they were copied as
    return replace(cluster, url=urlunsplit(urlsplit(cluster.url)._replace(path=f"/{name}")))


@pytest.fixture(scope="module")
def postgresql(
    request: pytest.FixtureRequest, cluster: services.Service, blank_database: tuple[Path, str]
) -> services.Service:
    """A database of the module's own, on a server that may be stopped and has to be started again."""
    return new_database(cluster, request.module.__name__.rpartition(".")[2], template=blank_database[1])


@pytest.fixture(scope="module")
def valkey() -> Iterator[services.Service]:
    with services.valkey() as service:
        yield service


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, provider: Simulator, blank: Path) -> Iterator[Installation]:
    """SQLite and one gateway at a time."""
    with opened(tmp_path_factory.mktemp("embedded"), provider=provider, blank=blank) as installation:
        yield installation


@pytest.fixture(scope="module")
def several(
    tmp_path_factory: pytest.TempPathFactory,
    provider: Simulator,
    postgresql: services.Service,
    valkey: services.Service,
    blank_database: tuple[Path, str],
) -> Iterator[Installation]:
    """PostgreSQL and Valkey, and as many gateways as are started."""
    stores = {"database": postgresql, "redis": valkey}
    with opened(tmp_path_factory.mktemp("several"), provider=provider, blank=blank_database[0], **stores) as found:
        yield found


@pytest.fixture(scope="session")
def first_seed() -> int:
    """Of the rounds of chaos: another one in every run, as `tests.run` says; then `make faults SEED=` repeats one."""
    return int(os.environ.get("FAULTS_SEED") or 1)


@dataclass
class Box:
    """The time that a module's rounds may take together. Those that come too late are skipped, and counted as that."""

    seconds: float
    began: float = 0.0
    rounds: int = 0

    def enter(self) -> None:
        self.began = self.began or time.monotonic()
        if time.monotonic() - self.began > self.seconds:
            pytest.skip(f"the time box of {self.seconds:.0f} s was reached after {self.rounds} rounds")
        self.rounds += 1


@pytest.fixture(scope="module")
def box() -> Box:
    return Box(rounds.BOX_SECONDS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many rounds there were, and their seeds; a run that has fewer than it should is not to look like one."""
    first = int(os.environ.get("FAULTS_SEED") or 1)
    played = [
        report
        for report in terminalreporter.stats.get("passed", [])
        if "/test_chaos_" in report.nodeid and report.when == "call"
    ]
    if played:
        last = first + rounds.EVERY_RUN // 2 - 1
        terminalreporter.write_line(f"{len(played)} rounds of mixed chaos, seeds {first} to {last} on both authorities")
