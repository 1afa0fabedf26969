"""Prometheus's families about money: what the background has counted of the books, and what checking them came to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from operator import attrgetter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from apps.runtime.measured import OTHER
from apps.usage import figures

MOST_TENANTS = 100

_GAUGES = {
    figures.UNCONFIRMED: ("weir_usage_unconfirmed", "Calls whose cost nobody knows yet."),
    figures.UNCONFIRMED_NANO: ("weir_usage_unconfirmed_usd", "What budgets are charged for those calls meanwhile."),
}


def read() -> list[Metric]:
    return families(figures.read(), figures.last_checks())


def families(told: list[figures.Told], checks: list[figures.Checked]) -> list[Metric]:
    return [*_figures(told), *_checks(checks)]


def _figures(told: list[figures.Told]) -> Iterator[Metric]:
    if not told:  # never counted
        return
    for name, (metric, meaning) in _GAUGES.items():
        family = GaugeMetricFamily(metric, meaning, labels=["tenant"])
        for tenant, value in _greatest([figure for figure in told if figure.name == name]):
            family.add_metric([tenant], value)
        yield family
    sums = {figure.name: figure.value for figure in told if not figure.tenant}
    overrun = "US dollars booked beyond what was reserved."
    yield CounterMetricFamily("weir_usage_overrun", overrun, value=sums.get(figures.OVERRUN_NANO, 0))
    gap = "US dollars that may have been spent beside all that is recorded."
    yield GaugeMetricFamily("weir_ledger_gap_usd", gap, value=sums.get(figures.GAP_NANO, 0))


def _greatest(told: list[figures.Told]) -> Iterator[tuple[str, float]]:
    """Of the tenants with most of it, and what all others have together."""
    ranked = sorted(told, key=attrgetter("value"), reverse=True)
    yield from ((figure.tenant, figure.value) for figure in ranked[:MOST_TENANTS])
    if rest := ranked[MOST_TENANTS:]:
        yield OTHER, sum(figure.value for figure in rest)


def _checks(checks: list[figures.Checked]) -> Iterator[Metric]:
    violations = GaugeMetricFamily(
        "weir_ledger_invariant_violations", "What did not hold when the books were last checked.", labels=["check"]
    )
    moment = GaugeMetricFamily(
        "weir_ledger_verified_timestamp_seconds", "When the books were last checked.", labels=["check"]
    )
    for check in checks:
        label = ["quick" if check.is_quick else "full"]
        violations.add_metric(label, check.violations)
        moment.add_metric(label, check.at.astimezone(UTC).timestamp())
    yield violations
    yield moment
