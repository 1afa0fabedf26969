"""The histograms of OpenTelemetry's conventions for generative AI, added up here and reported whole.

Labels are bounded: operations, providers and models of the catalog, kinds of failure.
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway_site.telemetry import spans, wire

if TYPE_CHECKING:
    from apps.gateway.tracing import Told, Tried

    Labels = tuple[tuple[str, str | int], ...]

MOST_SERIES = 2_000
_OVERFLOW: Labels = (("otel.metric.overflow", "true"),)


class Kind(NamedTuple):
    name: str
    unit: str
    meaning: str
    bounds: tuple[float, ...]


_TOKENS = tuple(float(4**power) for power in range(14))
_SECONDS = tuple(0.01 * 2**power for power in range(14))
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EACH = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

USAGE = Kind("gen_ai.client.token.usage", "{token}", "Tokens of upstream tries.", _TOKENS)
ASKED = Kind("gen_ai.client.operation.duration", "s", "How long upstream tries took.", _SECONDS)
FIRST_CHUNK = Kind("gen_ai.client.operation.time_to_first_chunk", "s", "From try to its first event.", _FIRST)
SERVED = Kind("gen_ai.server.request.duration", "s", "How long calls took.", _SECONDS)
FIRST_TOKEN = Kind("gen_ai.server.time_to_first_token", "s", "From call to the first event of its stream.", _FIRST)
EACH_TOKEN = Kind("gen_ai.server.time_per_output_token", "s", "For each token after a stream's first.", _EACH)


class _Spread:
    __slots__ = ("buckets", "count", "least", "most", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.buckets = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0
        self.least, self.most = math.inf, -math.inf

    def note(self, value: float, bounds: tuple[float, ...]) -> None:
        self.buckets[bisect_left(bounds, value)] += 1
        self.count += 1
        self.sum += value
        self.least, self.most = min(self.least, value), max(self.most, value)


class Measures:
    """Of one process since it began. Written and read by one thread."""

    def __init__(self) -> None:
        self._spreads: dict[tuple[Kind, Labels], _Spread] = {}
        self._began = time.time_ns()

    def note(self, call: Told) -> None:
        operation = spans.operation(call)
        if call.model is None or operation == "explain":
            return
        for tried in call.tries:
            self._note_try(tried, (("gen_ai.operation.name", operation), *_labels(tried)), is_stream=call.is_stream)
        last = call.tries[-1] if call.tries else None
        labels: Labels = (
            ("gen_ai.operation.name", operation),
            ("gen_ai.provider.name", spans.provider(last) if last is not None else "weir"),
            ("gen_ai.request.model", call.model.name),
        )
        failed: Labels = (*labels, ("error.type", call.error)) if call.error else labels
        self._add(SERVED, failed, call.ended - call.started)
        if last is None or call.error or not call.is_stream or last.first_byte is None:
            return
        first = last.started + last.first_byte
        self._add(FIRST_TOKEN, labels, first - call.started)
        if last.usage is not None and last.usage.out_total > 1:
            self._add(EACH_TOKEN, labels, max(0.0, call.ended - first) / (last.usage.out_total - 1))

    def _note_try(self, tried: Tried, labels: Labels, *, is_stream: bool) -> None:
        failed: Labels = (*labels, ("error.type", tried.error)) if tried.error else labels
        self._add(ASKED, failed, tried.ended - tried.started)
        if is_stream and tried.first_byte is not None:
            self._add(FIRST_CHUNK, labels, tried.first_byte)
        if tried.usage is not None and tried.usage_source == "provider":
            self._add(USAGE, (*labels, ("gen_ai.token.type", "input")), tried.usage.in_total)
            self._add(USAGE, (*labels, ("gen_ai.token.type", "output")), tried.usage.out_total)

    def _add(self, kind: Kind, labels: Labels, value: float) -> None:
        spread = self._spreads.get((kind, labels))
        if spread is None:
            key = (kind, labels if len(self._spreads) < MOST_SERIES else _OVERFLOW)
            spread = self._spreads.setdefault(key, _Spread(kind.bounds))
        spread.note(value, kind.bounds)

    def written(self) -> list[tuple[bytes, int]]:
        """Every histogram as one of a `ScopeMetrics`, with how many points it has."""
        points: dict[Kind, list[Any]] = {}
        for (kind, labels), spread in self._spreads.items():
            points.setdefault(kind, []).append(self._point(kind, labels, spread))
        return [(_metric(kind, found), len(found)) for kind, found in points.items()]

    def _point(self, kind: Kind, labels: Labels, spread: _Spread) -> Any:
        from opentelemetry.proto.common.v1.common_pb2 import KeyValue
        from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint

        return HistogramDataPoint(
            attributes=[KeyValue.FromString(wire.attribute(name, value)) for name, value in labels],
            start_time_unix_nano=self._began,
            time_unix_nano=time.time_ns(),
            count=spread.count,
            sum=spread.sum,
            bucket_counts=spread.buckets,
            explicit_bounds=kind.bounds,
            min=spread.least,
            max=spread.most,
        )


def _labels(tried: Tried) -> Labels:
    host, port = spans.server(tried)
    return (
        ("gen_ai.provider.name", spans.provider(tried)),
        ("gen_ai.request.model", tried.deployment.upstream_model),
        ("server.address", host),
        ("server.port", port),
    )


def _metric(kind: Kind, points: list[Any]) -> bytes:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Histogram, Metric

    histogram = Histogram(
        data_points=points, aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    metric = Metric(name=kind.name, unit=kind.unit, description=kind.meaning, histogram=histogram)
    return wire.block(2, metric.SerializeToString())
