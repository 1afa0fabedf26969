"""`pytest tests/domain --update-golden` writes the snapshots anew; read the diff before committing it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden snapshots anew")
