"""This process among the others: its name, and how many gateway processes live, as it last heard."""

from __future__ import annotations

import re

from apps.runtime.state import state

_live = 1


def name() -> str:
    """Unique to this run of this process: a successor with the same host and process id is another replica."""
    return re.sub(r"[^\w.-]", "-", f"{state.replica}-{int(state.started_at * 1000):x}")[-120:]


def count() -> int:
    return _live


def heard(live: int) -> None:
    global _live
    _live = max(1, live)
