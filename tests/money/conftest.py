from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.quotas import replicas
from apps.runtime.state import state
from apps.tenants.models import Tenant
from tests import factories, services


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    """Committed: several threads and processes look at it."""
    return factories.tenant("Acme")


@pytest.fixture(scope="session")
def counter_urls() -> Iterator[dict[str, str]]:
    """A Valkey or Redis of every version that is here, by name."""
    with contextlib.ExitStack() as stack:
        programs = services.counter_servers().items()
        yield {name: stack.enter_context(services.valkey(program)).url for name, program in programs}


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What a test's books have heard of, and its forwarder has found, is no business of the next one."""
    yield
    state.journals_orphaned = state.outcomes_refused = 0
    replicas.heard(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"
