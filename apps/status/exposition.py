"""Prometheus's text: what this process has counted, or all processes that share PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from apps.runtime import clock
from apps.runtime.state import state
from apps.status import books, providers, rooms
from apps.status.remembered import Remembered

_books = Remembered(books.read)
_providers = Remembered(providers.read)


class RuntimeCollector(Collector):
    """The gauges of `runtime.state`, read when asked for."""

    def collect(self) -> Iterator[rooms.Family]:
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
            ("weir_standing_shared", state.standing_shared, "1 while breakers are shared with all other processes."),
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
        yield from _deployments()
        yield from rooms.families()

    def describe(self) -> list[GaugeMetricFamily]:
        return []


_PHASES = {"closed": 0, "half_open": 1, "open": 2}


def _deployments() -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """Of those that this process has asked of late."""
    gauges = {
        name: GaugeMetricFamily(name, meaning, labels=["replica", "provider", "model"])
        for name, meaning in (
            ("weir_breaker_state", "0 closed, 1 half open, 2 open, by provider and upstream model."),
            ("weir_deployment_first_token_seconds", "Time to the first token of late, by this process's streams."),
            ("weir_deployment_tokens_per_second", "Tokens a second of late, by this process's streams."),
            ("weir_deployment_success", "Share of calls of late that were answered, by this process."),
        )
    }
    for one in state.deployments:
        measured = (_PHASES[one.breaker], one.first_token, one.tokens_per_second, one.success)
        for gauge, value in zip(gauges.values(), measured, strict=True):
            if value is not None:
                gauge.add_metric([state.replica, one.provider, one.model], value)
    yield from gauges.values()
    labelled = (
        ("weir_breaker_changes", "Breakers' changes of state.", ("provider", "model", "state"), state.breaker_changes),
        ("weir_retries", "Upstream requests beyond a call's first.", ("model",), _by_one(state.retries)),
        ("weir_retries_unpaid", "Retries that the budget forbade.", ("model",), _by_one(state.retries_unpaid)),
        ("weir_refused_calls", "Calls refused before anybody was asked.", ("reason",), _by_one(state.refused)),
    )
    for name, meaning, labels, counts in labelled:
        family = CounterMetricFamily(name, meaning, labels=["replica", *labels])
        for values, count in tuple(counts.items()):
            family.add_metric([state.replica, *values], count)
        yield family


def _by_one(counts: Counter[str]) -> dict[tuple[str, ...], int]:
    return {(name,): count for name, count in tuple(counts.items())}


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
    registry.register(_providers)
    return registry


class _Everything(Collector):
    """The default registry as one collector of another."""

    def collect(self) -> Iterator[object]:  # type: ignore[override]  # families of every kind
        yield from REGISTRY.collect()

    def describe(self) -> list[object]:  # type: ignore[override]
        return []
