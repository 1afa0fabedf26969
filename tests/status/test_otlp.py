"""What the database knows, over OTLP: told where the beat runs, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import Celery, signals
from django.test import override_settings

from apps.runtime.state import state
from apps.status import exposition
from apps.status.remembered import Remembered
from gateway_site.telemetry import delivery, running, tasks
from gateway_site.telemetry.sampling import Sampler
from gateway_site.telemetry.wanted import Destination, Wanted
from tests.collector import Collector
from tests.servers import until

pytestmark = pytest.mark.django_db
OF_ALL = "weir_rollup_lag_seconds"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)
    anew = tuple(Remembered(each._read) for each in exposition._of_the_database)
    monkeypatch.setattr(exposition, "_of_the_database", anew)


def names(begins: Callable[[], object]) -> set[str]:
    """Of the gauges and counters that a process of Celery's tells."""
    collector = Collector()
    way = Destination("metrics", f"{collector.url}/v1/metrics", {}, "", ("", ""), is_compressed=True)
    asked = Wanted((way,), {"service.name": "weir"}, Sampler(1.0, follows=True), 0.05, 10_000, frozenset())
    try:
        with override_settings(WEIR_TELEMETRY=asked):
            begins()
            until(lambda: told_twice(collector))
            running.stop()
        return {metric.name for _, metric, _, _ in collector.numbers()}
    finally:
        running.stop()
        collector.stop()


def told_twice(collector: Collector) -> bool:
    """So that the first report is whole."""
    return [metric.name for _, metric, _, _ in collector.numbers()].count("weir_draining") >= 2


def test_it_is_told_where_the_beat_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.connect(Celery("apart", set_as_current=False))
    monkeypatch.setattr(state, "role", "beat")
    assert names(lambda: signals.beat_init.send(sender=None)) >= {"weir_started_timestamp_seconds", OF_ALL}


def test_a_worker_tells_of_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "role", "worker")
    told = names(lambda: tasks.Telemetry(None).start(None))
    assert "weir_started_timestamp_seconds" in told
    assert OF_ALL not in told
