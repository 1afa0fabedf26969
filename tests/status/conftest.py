from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from apps.runtime.state import state


@pytest.fixture(autouse=True)
def _undrained() -> Iterator[None]:
    yield
    state.draining = False
    state.ports.clear()
    gc.unfreeze()
