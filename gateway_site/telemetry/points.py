"""Prometheus's families as OpenTelemetry's metrics, under the same names and labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from gateway_site.telemetry import wire

if TYPE_CHECKING:
    from prometheus_client import metrics_core
    from prometheus_client.samples import Sample

_SINCE_ITS_BEGINNING = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
# Between so many points there is a rest.
_AT_ONCE = 20


def written(family: metrics_core.Metric, *, began: int, rest: Callable[[], None]) -> Iterator[tuple[bytes, int]]:
    """Each metric of the family as one of a `ScopeMetrics`, with how many points it has; none that has no point.
    `began`: since when is counted, in unix nanoseconds. `rest` is called every few points."""
    now = time.time_ns()
    if family.type == "histogram":
        found = [*_rested(_spreads(family.samples, began=began, now=now), rest)]
        if found:
            histogram = Histogram(data_points=found, aggregation_temporality=_SINCE_ITS_BEGINNING)
            yield _metric(family.name, family, histogram=histogram), len(found)
        return
    is_counter = family.type == "counter"
    for name, samples in _by_name(family.samples, is_counter=is_counter).items():
        found = [*_rested((_number(sample, began=began if is_counter else 0, now=now) for sample in samples), rest)]
        if is_counter:
            told: Any = Sum(data_points=found, aggregation_temporality=_SINCE_ITS_BEGINNING, is_monotonic=True)
            yield _metric(name, family, sum=told), len(found)
        else:
            yield _metric(name, family, gauge=Gauge(data_points=found)), len(found)


def _by_name(samples: Iterable[Sample], *, is_counter: bool) -> dict[str, list[Sample]]:
    """When something began to be counted is left out, as each point says that."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if not (is_counter and sample.name.endswith("_created")):
            found.setdefault(sample.name, []).append(sample)
    return found


def _spreads(samples: Iterable[Sample], *, began: int, now: int) -> Iterator[HistogramDataPoint]:
    """Prometheus's buckets hold what is in all below them; these do not."""
    for labels, parts in _by_labels(samples).items():
        bounds = sorted(bound for bound in parts if isinstance(bound, float))
        within = [int(parts[bound]) for bound in bounds]
        yield HistogramDataPoint(
            attributes=_attributes(dict(labels)),
            start_time_unix_nano=began,
            time_unix_nano=now,
            count=within[-1],
            sum=parts["sum"],
            bucket_counts=[count - below for count, below in zip(within, [0, *within], strict=False)],
            explicit_bounds=bounds[:-1],  # beyond the last is all that is left
        )


def _by_labels(samples: Iterable[Sample]) -> dict[tuple[tuple[str, str], ...], dict[float | str, float]]:
    """Each histogram's counts by bound, and its sum."""
    found: dict[tuple[tuple[str, str], ...], dict[float | str, float]] = {}
    for sample in samples:
        kind = sample.name.rpartition("_")[2]
        labels = tuple(pair for pair in sample.labels.items() if pair[0] != "le")
        if kind == "bucket":
            found.setdefault(labels, {})[float(sample.labels["le"])] = sample.value
        elif kind == "sum":
            found.setdefault(labels, {})["sum"] = sample.value
    return found


def _number(sample: Sample, *, began: int, now: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(sample.labels),
        start_time_unix_nano=began,
        time_unix_nano=now,
        as_double=float(sample.value),
    )


def _attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in labels.items()]


def _rested(points: Iterable[Any], rest: Callable[[], None]) -> Iterator[Any]:
    for number, point in enumerate(points):
        if number % _AT_ONCE == _AT_ONCE - 1:
            rest()
        yield point


def _metric(name: str, family: metrics_core.Metric, **data: Any) -> bytes:
    return wire.block(2, Metric(name=name, description=family.documentation, **data).SerializeToString())
