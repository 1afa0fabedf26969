"""What is counted by words, and how few of them there may be; what several ask of a database that is away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric

from apps.config import schedules
from apps.gateway import metrics
from apps.runtime import measured
from apps.status import books, process
from apps.status.remembered import FRESH_SECONDS, Outage, Remembered
from apps.usage import figures


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(measured, "MOST_APART", 2)
    monkeypatch.setattr(measured, "families", [])
    yield
    measured.capped.clear()


@pytest.mark.once
def test_what_exceeds_the_bound_is_counted_together_and_told() -> None:
    counts = measured.Counts("weir_test", "x", ("model", "outcome"))
    for name in ("one", "two", "three", "four", "one"):
        counts.add((name, "x"))
    assert counts.values == {("one", "x"): 2, ("two", "x"): 1, ("(other)", "x"): 2}
    spreads = measured.Spreads("weir_spread", "x", ("provider",), bounds=(1.0,))
    for name in ("one", "two", "three", "three"):
        spreads.add((name,), 0.5)
    assert {words: spread.counts for words, spread in spreads.values.items()} == {
        ("one",): [1, 0],
        ("two",): [1, 0],
        ("(other)",): [2, 0],
    }
    told = {f.name: f for f in process.families()}["weir_labels_capped"].samples
    assert {(s.labels["metric"], s.value) for s in told} == {("weir_test", 2), ("weir_spread", 2)}


@pytest.mark.once
def test_a_failure_that_comes_late_is_told_as_one() -> None:
    counts = measured.Counts("weir_test", "x", ("dialect", "model", "outcome", "fault"))
    for name in ("one", "two", "three"):
        counts.add(("openai", name, "ok", "none"))
    counts.add(("openai", "one", "no_price", "gateway"))
    assert counts.values["openai", "(other)", "no_price", "gateway"] == 1
    of_dialects = measured.Counts("weir_dialects", "x", ("dialect",))
    for name in ("one", "two", "three"):
        of_dialects.add((name,))
    assert (len(of_dialects.values), measured.capped["weir_dialects"]) == (3, 0)


@pytest.mark.once
def test_the_librarys_metrics_have_the_same_bound() -> None:
    registry = CollectorRegistry()
    children = metrics._Children(
        Counter("weir_test", "x", ("model",), registry=registry).labels, "weir_test", ("model",)
    )
    for name in ("one", "two", "three", "four"):
        children[name,].inc()
    values = {name: registry.get_sample_value("weir_test_total", {"model": name}) for name in ("one", "(other)")}
    assert (len(children), values) == (3, {"one": 1, "(other)": 2})


@pytest.mark.once
def test_of_tenants_the_worst_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_TENANTS", 2)
    told = [figures.Told(figures.UNCONFIRMED, name, value) for name, value in (("a", 1), ("b", 5), ("c", 3), ("d", 2))]
    found = books.families(told, [])[0].samples
    assert [(s.labels["tenant"], s.value) for s in found] == [("b", 5), ("c", 3), ("(other)", 3)]


@pytest.mark.once
def test_a_database_that_is_away_is_waited_for_by_one_of_those_who_ask() -> None:
    asked: list[str] = []
    clock = [0.0]

    def away() -> list[Metric]:
        asked.append("away")
        raise OperationalError

    def there() -> list[Metric]:
        asked.append("there")
        return [Metric("weir_test", "x", "gauge")]

    outage = Outage()
    first, second = (Remembered(read, outage=outage, now=lambda: clock[0]) for read in (away, there))
    assert [*first.collect(), *second.collect()] == []
    assert asked == ["away"]
    clock[0] += FRESH_SECONDS + 1
    assert [family.name for family in second.collect()] == ["weir_test"]


@pytest.mark.django_db
def test_a_chore_is_late_by_its_latest_schedule_and_one_that_never_ran_is_not_told() -> None:
    PeriodicTask.objects.all().delete()
    hourly, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    now = datetime.now(UTC)
    for name, ran, enabled in (("a", 3, True), ("b", 0, True), ("c", None, True), ("d", 9, False)):
        at = None if ran is None else now - timedelta(hours=ran)
        PeriodicTask.objects.create(name=name, task="x.y", interval=hourly, last_run_at=at, enabled=enabled)
    ((task, at, late),) = schedules.runs()
    assert (task, at) == ("x.y", now - timedelta(hours=3))
    assert late == pytest.approx(7200, abs=300)
