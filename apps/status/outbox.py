"""Prometheus's families about events on their way: how far each enabled sink is behind, and what it has not taken.

They are the same from every process that is asked: take the largest, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from apps.events import selectors
from apps.events.selectors import Lag


def read() -> list[Metric]:
    """Four queries; one where there is no sink."""
    return families(lag for lag in selectors.lags() if lag.sink.is_enabled)


def families(lags: Iterable[Lag]) -> list[Metric]:
    found = {
        "undelivered": GaugeMetricFamily(
            "weir_outbox_undelivered", "Events that the sink has not got yet, dead letters left out.", labels=["sink"]
        ),
        "age": GaugeMetricFamily("weir_outbox_oldest_seconds", "Age of the oldest of them.", labels=["sink"]),
        "waiting": GaugeMetricFamily(
            "weir_outbox_waiting",
            "Of those, events that the sink did not take, and what waits behind.",
            labels=["sink"],
        ),
        "dead": GaugeMetricFamily(
            "weir_outbox_dead_letters", "Events that are sent no more until somebody says so.", labels=["sink"]
        ),
        "is_away": GaugeMetricFamily("weir_outbox_sink_away", "1 while nothing can be sent there.", labels=["sink"]),
        "delivered": CounterMetricFamily("weir_outbox_delivered", "Events that the sink has taken.", labels=["sink"]),
    }
    for lag in lags:
        for name, family in found.items():
            family.add_metric([lag.sink.name], getattr(lag, name))
    return [*found.values()]
