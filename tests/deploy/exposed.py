"""What the code exposes to Prometheus: every family there can be, in this process and without a store."""

from __future__ import annotations

import functools
import importlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from apps.runtime.state import Leased, state
from apps.status import books, checked, checks, chores, outbox, process, providers
from apps.usage import figures
from tests.deploy import tools

_COUNTS = re.compile(r"^from (?:prometheus_client|apps\.runtime\.measured) import ", re.MULTILINE)
_NOW = datetime(2026, 11, 23, tzinfo=UTC)
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
    "info": ("_info",),
}
# Other things that are called so, in the documents.
NO_METRICS = {"weir_operator_token", "weir_keyring"}


@functools.cache
def names() -> set[str]:
    """As a query has them."""
    return {name + suffix for name, kind in _found().items() for suffix in SUFFIXES.get(kind, ("",))}


@functools.cache
def families() -> set[str]:
    """Ours, as the documents have them: a counter with its suffix, a histogram without."""
    ours = {name: kind for name, kind in _found().items() if name.startswith("weir_")}
    return {f"{name}_total" if kind == "counter" else name for name, kind in ours.items()}


@functools.cache
def _found() -> dict[str, str]:
    _read_all()
    kept = dict(vars(state))
    try:
        state.snapshot_revision, state.snapshot_at = 1, time.time()
        state.limiter_shared = state.standing_shared = True
        state.leased = lambda: Leased(1, 1, 1, 1, 1, False)
        return {family.name: family.type for family in _families()}
    finally:
        vars(state).update(kept)


def _families() -> Iterator[Metric]:
    yield from REGISTRY.collect()
    yield from process.families()
    yield from checked.families(checks.Report((checks.Check(name="database", ok=True),)))
    yield from books.families([figures.Told(figures.UNCONFIRMED, "acme", 1)], [figures.Checked(True, _NOW, 0)])
    yield from providers.families([])
    yield from outbox.families([])
    yield from chores.families([("task", _NOW, 0.0)], 0.0)
    yield from chores.lengths([("celery", 0)])


def _read_all() -> None:
    """The modules that count."""
    for package in ("apps", "gateway_site"):
        for path in (tools.ROOT / package).rglob("*.py"):
            if _COUNTS.search(path.read_text(encoding="utf-8")) and "tests" not in path.parts:
                importlib.import_module(".".join(path.relative_to(tools.ROOT).with_suffix("").parts))
