from __future__ import annotations

from pathlib import Path

import pytest

from apps.tenants.models import Tenant
from tests import factories


@pytest.fixture
def acme(transactional_db: None) -> Tenant:
    """Committed: several threads and processes look at it."""
    return factories.tenant("Acme")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"
