"""`pytest tests/domain --update-golden` writes the snapshots anew; read the diff before committing it.

Random tests are judged by their outcome, not by the clock of a busy machine; a failure prints its seed.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("domain", deadline=None, print_blob=True)
settings.load_profile("domain")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden snapshots anew")
