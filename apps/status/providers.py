"""Prometheus's families about providers, as the health checks found them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from apps.catalog import selectors as catalog

_DOWN = ("unhealthy", "recovering")


def read() -> list[Metric]:
    return families(catalog.providers_overview())


def families(overview: Iterable[dict[str, Any]]) -> list[Metric]:
    """Of the enabled ones; of one that was never checked only whether it should have been."""
    up = GaugeMetricFamily("weir_provider_up", "1 unless the provider counts as down.", labels=["provider"])
    moment = GaugeMetricFamily(
        "weir_provider_checked_timestamp_seconds", "When it was last checked.", labels=["provider"]
    )
    took = GaugeMetricFamily("weir_provider_check_seconds", "How long that took.", labels=["provider"])
    overdue = GaugeMetricFamily(
        "weir_provider_check_overdue", "1 if no check has begun for more than three intervals.", labels=["provider"]
    )
    for row in overview:
        if not row["enabled"]:
            continue
        overdue.add_metric([row["name"]], float(row["overdue"]))
        if row["last_check_ms"] is None or row["last_checked_at"] is None:
            continue
        up.add_metric([row["name"]], float(row["health"] not in _DOWN))
        moment.add_metric([row["name"]], row["last_checked_at"].timestamp())
        took.add_metric([row["name"]], row["last_check_ms"] / 1000)
    return [up, moment, took, overdue]
