"""Prometheus's text: what this process has counted, or all processes that share PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.runtime import clock
from apps.runtime.state import state
from apps.status.books import BooksCollector

_books = BooksCollector()


class RuntimeCollector(Collector):
    """The gauges of `runtime.state`, read when asked for."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        for name, value, meaning in (
            ("weir_draining", float(state.draining), "1 while the process is leaving."),
            ("weir_draining_calls", state.draining_calls, "Calls heard out after their client has left."),
            ("weir_snapshot_revision", state.snapshot_revision, "Revision of the configuration in use."),
            ("weir_snapshot_age_seconds", state.snapshot_age, "Since the configuration was last known to be current."),
            ("weir_journal_lag_seconds", state.journal_lag, "Age of the oldest record that the ledger lacks."),
            ("weir_journals_orphaned", state.journals_orphaned, "Journals of the folder that nobody has taken over."),
            ("weir_journal_refused", state.outcomes_refused, "Outcomes in the folder that the ledger does not take."),
            (
                "weir_ports_failed",
                sum(map(bool, tuple(state.ports.values()))),
                "Ports that should be open and are not.",
            ),
            ("weir_storage_full", float(state.storage_full), "1 while new calls are refused for want of disk."),
            ("weir_clock_ahead_seconds", clock.ahead(), "How far this machine's clock is ahead of the database's."),
            ("weir_loop_lag_seconds", state.loop_lag, "How late the event loop ran its last tick."),
            ("weir_limiter_shared", state.limiter_shared, "1 while limits are counted with all other processes."),
        ):
            if value is not None:
                family = GaugeMetricFamily(name, meaning, labels=["replica"])
                family.add_metric([state.replica], value)
                yield family
        if state.limiter_shared is not None:
            meaning = "Calls whose limits this process decided alone for want of the shared counters."
            alone = CounterMetricFamily("weir_limiter_local_decisions", meaning, labels=["replica"])
            alone.add_metric([state.replica], state.limits_decided_alone)
            yield alone
        meaning = "Times that this process has set a credential aside, by why."
        asides = CounterMetricFamily(
            "weir_credential_cool_downs", meaning, labels=["replica", "provider", "credential", "reason"]
        )
        for labels, count in tuple(state.cool_downs.items()):
            asides.add_metric([state.replica, *labels], count)
        yield asides

    def describe(self) -> list[GaugeMetricFamily]:
        return []


def render(accept: str) -> tuple[bytes, str]:
    """The text and its content type, in the form that `accept` asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(_registry()), content_type


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)
    else:
        registry.register(_Everything())
    registry.register(RuntimeCollector())
    registry.register(_books)
    return registry


class _Everything(Collector):
    """The default registry as one collector of another."""

    def collect(self) -> Iterator[object]:  # type: ignore[override]  # families of every kind
        yield from REGISTRY.collect()

    def describe(self) -> list[object]:  # type: ignore[override]
        return []
