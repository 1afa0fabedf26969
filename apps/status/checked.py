"""Prometheus's families about what this process needs: the checks of the detailed health page."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from apps.runtime.state import state
from apps.status.checks import Report


def families(report: Report) -> list[Metric]:
    passed = GaugeMetricFamily("weir_check_ok", "1 if the check passed.", labels=["replica", "check"])
    took = GaugeMetricFamily("weir_check_seconds", "How long it took.", labels=["replica", "check"])
    for check in report.checks:
        passed.add_metric([state.replica, check.name], float(check.ok))
        took.add_metric([state.replica, check.name], check.milliseconds / 1000)
    return [passed, took]
