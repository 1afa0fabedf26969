"""What is counted of the books in the background, and told by the metrics and on the first page."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from celery import Task
from django.db import DatabaseError
from django_celery_beat.models import PeriodicTask

from apps.quotas.models import Gap
from apps.status.books import read
from apps.status.remembered import FRESH_SECONDS, Remembered
from apps.usage import figures, ledger, tasks, verifications
from apps.usage.books import verify
from apps.usage.models import Verification
from gateway_site.celery import app
from tests.control.ledgers import Books, plant

pytestmark = pytest.mark.django_db


@pytest.fixture
def books(db) -> Books:
    made = Books()
    made.fill()
    return made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def samples(collector: Remembered) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_the_metrics_tell_what_is_not_known_and_what_went_over(books):
    ledger.post([books.doubt(high=2_000_000_000)])
    plant("UPDATE quotas_budgetwindow SET overrun = 1500000000 WHERE id = %s", books.window.pk)
    Gap.objects.create(replica="lost", lease=1, window=books.window, amount=250_000_000)
    Gap.objects.create(replica="found", lease=2, window=books.window, amount=10**9, closed_at=datetime.now(UTC))
    tasks.count_figures()
    found = samples(Remembered(read))
    slug = books.tenant.slug
    assert found["weir_usage_unconfirmed", slug] == 2
    assert found["weir_usage_unconfirmed_usd", slug] == pytest.approx(2.000005)
    assert found["weir_usage_overrun_total",] == 1.5
    assert found["weir_ledger_gap_usd",] == 0.25


def test_what_is_resolved_is_told_no_longer(books):
    tasks.count_figures()
    ledger.post([books.resolved(books.doubts[1])])
    tasks.count_figures()
    found = samples(Remembered(read))
    assert ("weir_usage_unconfirmed", books.tenant.slug) not in found
    assert found["weir_ledger_gap_usd",] == 0


def test_a_scrape_reads_no_more_than_four_small_queries_and_not_every_time(books, django_assert_num_queries):
    tasks.count_figures()
    clock = Clock()
    collector = Remembered(read, now=clock)
    with django_assert_num_queries(4):
        first = samples(collector)
    with django_assert_num_queries(0):
        assert samples(collector) == first
    clock.now += FRESH_SECONDS + 1
    with django_assert_num_queries(4):
        samples(collector)


def test_metrics_say_nothing_of_books_that_cannot_be_read(books, monkeypatch):
    def away() -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(figures, "read", away)
    assert samples(Remembered(read)) == {}


def test_what_checking_came_to_is_kept_and_told(books, caplog):
    tasks.verify_recent()
    tasks.verify_everything()
    plant("UPDATE quotas_budgetwindow SET held = held + 1 WHERE id = %s", books.window.pk)
    with caplog.at_level(logging.ERROR):
        tasks.verify_everything()
    assert "the books are not true: I2.held: 1 of 1" in caplog.text
    quick, full, broken = Verification.objects.order_by("pk")
    assert (quick.is_quick, quick.violations, full.violations, broken.violations) == (True, 0, 0, 1)
    assert full.checked > quick.checked > 0
    found = samples(Remembered(read))
    assert found["weir_ledger_invariant_violations", "quick"] == 0
    assert found["weir_ledger_invariant_violations", "full"] == 1
    age = datetime.now(UTC).timestamp() - found["weir_ledger_verified_timestamp_seconds", "full"]
    assert 0 <= age < 60


def test_a_check_that_could_not_be_made_is_told_from_one_that_found_nothing(books, monkeypatch):
    verifications.verify(quick=True)

    def fails(**options) -> None:
        raise DatabaseError("canceling statement")

    monkeypatch.setattr(verify, "run", fails)
    with pytest.raises(DatabaseError):
        verifications.verify(quick=True)
    assert Verification.objects.latest("pk").failure == "canceling statement"
    assert [check.violations for check in figures.last_checks()] == [0]


def test_old_verifications_are_forgotten(books, monkeypatch):
    monkeypatch.setattr(verifications, "KEPT", 2)
    for _ in range(4):
        verifications.verify(quick=True)
    assert Verification.objects.count() == 2


def test_what_is_long_over_is_looked_after_before_it_is_called_a_leak(books):
    """The installation was switched off for a weekend."""
    plant("UPDATE quotas_replica SET heartbeat = %s", datetime.now(UTC) - timedelta(days=3))
    assert verify.run().violations == 1
    assert verifications.verify(quick=True).violations == 0


@pytest.mark.parametrize(
    "task",
    [
        *("roll_up", "ensure_partitions", "reap_replicas"),
        *("count_figures", "verify_recent", "verify_everything", "seal_months"),
    ],
)
def test_the_worker_s_schedule_has_it(task, migrated_schedule):
    row = PeriodicTask.objects.get(task=f"apps.usage.tasks.{task}")
    assert row.enabled
    assert (row.interval or row.crontab) is not None
    assert hasattr(tasks, task)


@pytest.fixture
def migrated_schedule(db) -> None:
    """Made by a migration, unless a test that commits has emptied the tables since."""
    if not PeriodicTask.objects.exists():
        from importlib import import_module

        from django.apps import apps

        for name in ("0002_schedule", "0007_schedule_checks"):
            import_module(f"apps.usage.migrations.{name}").schedule(apps, None)


def test_the_first_page_tells_how_the_books_are(desk, books):
    assert "not checked yet" in desk.text("index")
    verifications.verify(quick=True)
    text = desk.text("index")
    assert "verified <time" in text
    assert "weir-card-figure weir-good" in text
    plant("UPDATE quotas_budgetwindow SET held = held + 1 WHERE id = %s", books.window.pk)
    verifications.verify(quick=True)
    assert "1 broken" in desk.text("index")
    verification = Verification.objects.latest("pk")
    assert "not true" in desk.text("usage_verification_changelist")
    assert "I2.held" in desk.text("usage_verification_change", verification.pk)


def chores() -> list[Task]:
    app.loader.import_default_modules()
    return [task for name, task in app.tasks.items() if name.startswith("apps.")]


def test_a_chore_whose_worker_is_killed_is_done_again():
    assert chores()
    assert all(task.acks_late and task.reject_on_worker_lost for task in chores())


@pytest.mark.redis
def test_a_chore_is_not_handed_out_again_while_it_may_still_be_done():
    longest = max(task.time_limit or app.conf.task_time_limit for task in chores())
    assert app.conf.broker_transport_options["visibility_timeout"] > longest
