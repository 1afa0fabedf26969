"""Prometheus's text: what this process has counted, or all processes that share PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.runtime.state import state
from apps.status import books, checked, checks, chores, outbox, process, providers, together
from apps.status.remembered import Outage, Remembered

_outage = Outage()


def _checked() -> list[Metric]:
    report = checks.run()
    if not report.passed("database"):
        _outage.found_at = time.monotonic()
    return checked.families(report)


_checks = Remembered(_checked)
_of_the_database = tuple(
    Remembered(read, outage=_outage) for read in (books.read, providers.read, chores.read, outbox.read)
)
_of_the_broker = Remembered(chores.waiting)
_ASKS_THE_BROKER = ("worker", "beat")  # and nobody else: a call's process has nothing to do with it


def render(accept: str) -> tuple[bytes, str]:
    """The text and its content type, in the form that `accept` asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry()), content_type


def begin() -> None:
    """To be called by a process that serves, once Django is set up: see `together`."""
    together.begin(_own)


def of_this_process(*, knows_itself: bool) -> Iterator[Metric]:
    """What it has counted, whoever shares its folder; if it `knows_itself`, how it fares. No store is asked."""
    yield from REGISTRY.collect()
    if knows_itself:
        yield from process.families()


def of_its_stores() -> Iterable[Metric]:
    """What the checks of this process find."""
    return _checks.collect()


def of_the_installation() -> Iterator[Metric]:
    """What the database and the broker know: from every process the same."""
    for found in (*_of_the_database, _of_the_broker):
        yield from found.collect()


def _own() -> Iterator[Metric]:
    """What is told of this process alone, where several share a folder."""
    yield from process.families()
    for collector in (PROCESS_COLLECTOR, GC_COLLECTOR, PLATFORM_COLLECTOR):
        for family in collector.collect():
            for place, sample in enumerate(family.samples):
                family.samples[place] = sample._replace(labels={**sample.labels, "replica": state.replica})
            yield family


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    if (folder := together.folder()) is None:
        registry.register(_Families(lambda: (*REGISTRY.collect(), *process.families())))
    else:
        together.sweep()
        MultiProcessCollector(registry, path=str(folder))
        registry.register(_Families(lambda: together.merged([*_own(), *together.others()])))
    registry.register(_checks)  # before those who ask the same database
    for found in _of_the_database:
        registry.register(found)
    if state.role in _ASKS_THE_BROKER:
        registry.register(_of_the_broker)
    return registry


class _Families(Collector):
    """Whatever `read` gives, as one collector."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> list[Metric]:
        return []
