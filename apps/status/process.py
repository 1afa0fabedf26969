"""The gauges and counters of this process as Prometheus's families, each with the replica's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from django.conf import settings
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from apps.runtime import build, clock, measured
from apps.runtime.state import state
from apps.status import rooms
from apps.status.rooms import Family

_NANO = 1e9
_PHASES = {"closed": 0, "half_open": 1, "open": 2}


def families() -> Iterator[Family]:
    yield _build()
    for name, value, meaning in _gauges():
        if value is not None:
            yield _gauge(name, value, meaning)
    for name, count, meaning in _counts():
        if count is not None:
            yield _counter(name, meaning, (), {(): count})
    yield from _leases()
    yield from _deployments()
    yield from _labelled()
    yield from _measured()
    yield from rooms.families()


def _gauges() -> Iterator[tuple[str, float | None, str]]:
    yield "weir_calls_in_flight", state.in_flight, "Calls being answered."
    yield "weir_draining", float(state.draining), "1 while the process is leaving."
    yield "weir_draining_calls", state.draining_calls, "Calls heard out after their client has left."
    yield "weir_snapshot_revision", state.snapshot_revision, "Revision of the configuration in use."
    yield "weir_snapshot_age_seconds", state.snapshot_age, "Since the configuration was last known to be current."
    yield "weir_journal_lag_seconds", state.journal_lag, "Age of the oldest record that the ledger lacks."
    yield "weir_journals_orphaned", state.journals_orphaned, "Journals of the folder that nobody has taken over."
    yield "weir_journal_refused", state.outcomes_refused, "Outcomes in the folder that the ledger does not take."
    yield "weir_ports_failed", sum(map(bool, tuple(state.ports.values()))), "Ports that should be open and are not."
    yield "weir_storage_full", float(state.storage_full), "1 while new calls are refused for want of disk."
    yield "weir_clock_ahead_seconds", clock.ahead(), "How far this machine's clock is ahead of the database's."
    yield "weir_loop_lag_seconds", state.loop_lag, "How late the event loop ran its last tick."
    yield "weir_limiter_shared", _number(state.limiter_shared), "1 while limits are counted with all other processes."
    yield "weir_standing_shared", _number(state.standing_shared), "1 while breakers are shared with all processes."
    yield "weir_started_timestamp_seconds", state.started_at, "When the process began."


def _counts() -> Iterator[tuple[str, float | None, str]]:
    alone = state.limits_decided_alone if state.limiter_shared is not None else None
    meaning = "Calls whose limits this process decided alone for want of the shared counters."
    yield "weir_limiter_local_decisions", alone, meaning
    yield "weir_drained_calls", state.drained, "Calls that were heard out after their client had left, to an end."
    yield "weir_journal_forwarded", state.entries_forwarded, "Outcomes that went from the journal to the ledger."
    yield "weir_journal_forward_failures", state.forwards_failed, "Batches that the ledger could not be given yet."


def _build() -> GaugeMetricFamily:
    labels = {"version": build.VERSION, "revision": settings.WEIR_REVISION, "role": state.role}
    family = GaugeMetricFamily("weir_build_info", "1: what is running, and as what.", labels=["replica", *labels])
    family.add_metric([state.replica, *labels.values()], 1)
    return family


def _leases() -> Iterator[Family]:
    """Of all budgets together: one by one they are as many as tenants care to make."""
    if state.leased is None:
        return
    held = state.leased()
    free = held.granted + held.credit - held.spent - held.reserved
    yield _gauge("weir_lease_budgets", held.budgets, "Budgets of which this process holds a lease.")
    yield _gauge("weir_lease_granted_usd", (held.granted + held.credit) / _NANO, "What those leases come to.")
    yield _gauge("weir_lease_spent_usd", held.spent / _NANO, "What of them is spent.")
    yield _gauge("weir_lease_reserved_usd", held.reserved / _NANO, "What of them calls in flight may yet cost.")
    yield _gauge("weir_lease_free_usd", free / _NANO, "What of them is left for calls that begin now.")
    meaning = "1 while the database did not answer when it was last asked for leases."
    yield _gauge("weir_lease_database_away", float(held.is_cut_off), meaning)


def _deployments() -> Iterator[Family]:
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
        told = (_PHASES[one.breaker], one.first_token, one.tokens_per_second, one.success)
        for gauge, value in zip(gauges.values(), told, strict=True):
            if value is not None:
                gauge.add_metric([state.replica, one.provider, one.model], value)
    yield from gauges.values()


def _labelled() -> Iterator[Family]:
    asides = "Times that this process has set a credential aside, by why."
    yield _counter("weir_credential_cool_downs", asides, ("provider", "credential", "reason"), state.cool_downs)
    changes = "Breakers' changes of state."
    yield _counter("weir_breaker_changes", changes, ("provider", "model", "state"), state.breaker_changes)
    yield _counter("weir_retries", "Upstream requests beyond a call's first.", ("model",), _by_one(state.retries))
    yield _counter("weir_retries_unpaid", "Retries that the budget forbade.", ("model",), _by_one(state.retries_unpaid))
    refused = "Calls refused before anybody was asked."
    yield _counter("weir_refused_calls", refused, ("reason",), _by_one(state.refused))
    capped = "Times that something new was counted under (other), as so many labels are told apart already."
    yield _counter("weir_labels_capped", capped, ("metric",), _by_one(measured.capped))


def _measured() -> Iterator[Family]:
    for found in tuple(measured.families):
        if isinstance(found, measured.Counts):
            yield _counter(found.name, found.meaning, found.labels, found.values)
            continue
        family = HistogramMetricFamily(found.name, found.meaning, labels=["replica", *found.labels])
        for words, spread in tuple(found.values.items()):
            family.add_metric([state.replica, *words], rooms.buckets(spread), sum_value=spread.total)
        yield family


def _gauge(name: str, value: float, meaning: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=["replica"])
    family.add_metric([state.replica], value)
    return family


def _counter(
    name: str, meaning: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=["replica", *labels])
    for words, value in tuple(values.items()):
        family.add_metric([state.replica, *words], value)
    return family


def _by_one(counts: Counter[str]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in tuple(counts.items())}


def _number(known: bool | None) -> float | None:
    return None if known is None else float(known)
