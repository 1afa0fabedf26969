from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests import services
from tests.faults import rounds
from tests.faults.installation import Installation, opened
from tests.servers import Simulator, start_simulator


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Says things as fast as it can; what is to take time says so, as `pace-20`."""
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[services.Service]:
    """This module's own, so that it may be stopped."""
    with services.postgresql() as service:
        yield service


@pytest.fixture(scope="module")
def valkey() -> Iterator[services.Service]:
    with services.valkey() as service:
        yield service


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Iterator[Installation]:
    """SQLite and one gateway at a time."""
    with opened(tmp_path_factory.mktemp("embedded"), provider=provider) as installation:
        yield installation


@pytest.fixture(scope="module")
def several(
    tmp_path_factory: pytest.TempPathFactory,
    provider: Simulator,
    postgresql: services.Service,
    valkey: services.Service,
) -> Iterator[Installation]:
    """PostgreSQL and Valkey, and as many gateways as are started."""
    folder = tmp_path_factory.mktemp("several")
    with opened(folder, provider=provider, database=postgresql, redis=valkey) as installation:
        yield installation


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
