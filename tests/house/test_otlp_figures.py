"""What `/metrics` tells, as a collector on a socket reads it: each figure under its name, of each process its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily

from gateway_site.telemetry import points, wire
from gateway_site.telemetry.delivery import Delivery
from gateway_site.telemetry.wanted import Destination
from tests.collector import Collector
from tests.house.test_telemetry import start

HEAD = wire.envelope({"service.name": "weir"}, scope="weir", version="1")
BEGAN = 1_000_000_000


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.stop()


def told(collector: Collector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample as Prometheus has it."""
    found = {
        (metric.name, frozenset(labels.items())): point.as_double for _, metric, labels, point in collector.numbers()
    }
    for name, labels, point in collector.points():
        bounds = [*map(str, map(float, point.explicit_bounds)), "+Inf"]
        for bound, count in zip(bounds, accumulate(point.bucket_counts), strict=True):
            found[f"{name}_bucket", frozenset({**labels, "le": bound}.items())] = count
        found[f"{name}_sum", frozenset(labels.items())] = point.sum
        found[f"{name}_count", frozenset(labels.items())] = point.count
    return found


def test_every_sample_is_told_as_it_is_and_by_its_kind(collector):
    registry = CollectorRegistry()
    calls = Counter("weir_x_calls", "Calls.", ["model"], registry=registry)
    calls.labels("é").inc(3)
    calls.labels("").inc(0.5)
    Gauge("weir_x_waiting", "Waiting.", registry=registry).set(-2)
    spread = Histogram("weir_x_seconds", "Time.", ["model"], buckets=(0.5, 10), registry=registry)
    for seconds in (0.1, 0.5, 3, 99):
        spread.labels("m").observe(seconds)
    Histogram("weir_x_unused", "Nothing.", ["model"], registry=registry)
    way = Delivery(Destination("metrics", f"{collector.url}/v1/metrics", {}, "", ("", ""), True), head=HEAD, most=100)
    rests: list[int] = []
    for family in registry.collect():
        for item, count in points.written(family, began=BEGAN, rest=lambda: rests.append(1)):
            way.put(item, count)
    way.end(time.monotonic() + 30)
    way.join()
    expected = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert told(collector) == expected
    kinds = {metric.name: metric for _, metric, _, _ in collector.numbers()}
    assert kinds["weir_x_calls_total"].sum.is_monotonic
    assert kinds["weir_x_calls_total"].description == "Calls."
    assert {point.start_time_unix_nano for point in kinds["weir_x_calls_total"].sum.data_points} == {BEGAN}
    assert kinds["weir_x_waiting"].WhichOneof("data") == "gauge"
    assert "weir_x_unused" not in kinds
    assert rests == []


def test_of_many_points_there_is_a_rest_every_few():
    family = HistogramMetricFamily("weir_x_seconds", "Time.", labels=["model"])
    for number in range(100):
        family.add_metric([str(number)], [("1.0", 1), ("+Inf", 2)], sum_value=9)
    rests: list[int] = []
    ((_, count),) = points.written(family, began=BEGAN, rest=lambda: rests.append(1))
    assert (count, len(rests)) == (100, 5)


TELLS = """
import json, os, sys
import django
django.setup()
from apps.runtime import measured
from apps.runtime.state import state
from apps.status import exposition
from gateway_site import task_figures
from gateway_site.telemetry import running
state.role = "worker"
measured.Counts("weir_test_asked", "x", ("who",)).add(("somebody",), 2)
task_figures.TASKS.labels("parent", "success").inc()
running.start("worker")
child = os.fork()
if child == 0:
    running.start("worker")
    task_figures.TASKS.labels("child", "success").inc(5)
    running.stop()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
names = {sample.name for family in exposition.of_this_process(knows_itself=True) for sample in family.samples}
print(json.dumps({"replica": state.replica, "child": child, "names": sorted(names)}))
"""


def test_a_process_tells_all_of_itself_and_its_child_what_that_counts(collector, tmp_path):
    told_by = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{collector.url}/v1/metrics"}
    ended = start(tmp_path, TELLS, PROMETHEUS_MULTIPROC_DIR=str(tmp_path), **told_by)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    own, child = said["replica"], f"{said['replica']}-{said['child']}"
    assert {name for name, _ in told(collector)} == {name for name in said["names"] if not name.endswith("_created")}
    assert {"weir_started_timestamp_seconds", "weir_test_asked_total", "process_open_fds"} <= {*said["names"]}
    found: dict[str, dict[str, Any]] = {own: {}, child: {}}
    for resource, metric, labels, point in collector.numbers():
        key = labels.get("task", "") if metric.name == "weir_tasks_total" else metric.name
        found[resource["service.instance.id"]][key] = point.as_double
    assert (found[own].get("parent"), found[own].get("child")) == (1, None)
    assert (found[child].get("parent"), found[child].get("child")) == (0, 5)
    assert [name for name in found[child] if name in ("weir_started_timestamp_seconds", "weir_check_ok")] == []
