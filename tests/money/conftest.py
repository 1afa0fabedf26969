from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.quotas import replicas
from apps.tenants.models import Tenant
from tests import factories


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    """Committed: several threads and processes look at it."""
    return factories.tenant("Acme")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """How many replicas a test's books have heard of is no business of the next one."""
    yield
    replicas.heard(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"
