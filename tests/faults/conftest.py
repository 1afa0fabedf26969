from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import services
from tests.faults.installation import Installation, opened
from tests.servers import Simulator, start_simulator


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Says things as fast as it can; what is to take time says so, as `pace-20`."""
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[services.Service]:
    """This suite's own, so that it may be stopped."""
    with services.postgresql() as service:
        yield service


@pytest.fixture(scope="session")
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
