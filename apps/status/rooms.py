"""Rooms and queues of this process as Prometheus's figures, by the deployment's provider and its name there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from apps.runtime.measured import Spread
from apps.runtime.rooms import Named, rooms
from apps.runtime.state import state

_LABELS = ["replica", "provider", "model"]
Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily


def families() -> Iterator[Family]:
    in_flight = GaugeMetricFamily(
        "weir_deployment_in_flight", "Calls at a deployment that has so much room.", labels=_LABELS
    )
    most = GaugeMetricFamily("weir_deployment_room", "Calls that it may have, by this process.", labels=_LABELS)
    waiting = GaugeMetricFamily("weir_queue_waiting", "Calls that wait for it.", labels=_LABELS)
    for room in tuple(rooms.open.values()):
        labels = [state.replica, *room.named]
        in_flight.add_metric(labels, room.in_flight)
        waiting.add_metric(labels, room.waiting)
        if room.most is not None:
            most.add_metric(labels, room.most)
    yield from (in_flight, most, waiting)
    yield _histogram("weir_queue_wait_seconds", "How long those waited that got a place.", rooms.waits)
    yield _histogram("weir_queue_position", "At which place of the queue calls began.", rooms.positions)
    refusals = CounterMetricFamily(
        "weir_queue_refusals", "Calls that left without a place: full, timeout.", labels=[*_LABELS, "reason"]
    )
    for (named, reason), count in tuple(rooms.refusals.items()):
        refusals.add_metric([state.replica, *named, reason], count)
    yield refusals


def buckets(spread: Spread) -> list[tuple[str, float]]:
    """As Prometheus has them: each with all that are below."""
    told, so_far = [], 0
    for bound, count in zip((*map(str, map(float, spread.bounds)), "+Inf"), tuple(spread.counts), strict=True):
        so_far += count
        told.append((bound, float(so_far)))
    return told


def _histogram(name: str, meaning: str, spreads: Mapping[Named, Spread]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, meaning, labels=_LABELS)
    for named, spread in tuple(spreads.items()):
        family.add_metric([state.replica, *named], buckets(spread), sum_value=spread.total)
    return family
