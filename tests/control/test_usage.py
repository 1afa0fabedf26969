"""What runs by itself to keep usage in order."""

from __future__ import annotations

import logging
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.quotas.models import Replica
from apps.usage import ledger, tasks
from apps.usage.models import Entry
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("task", [tasks.roll_up, tasks.ensure_partitions, tasks.reap_replicas])
def test_every_task_is_scheduled_once_under_the_name_it_has(task):
    import_module("apps.usage.migrations.0002_schedule").schedule(apps, None)  # a committing test may have emptied it
    assert PeriodicTask.objects.get(task=task.name, enabled=True).interval is not None


def test_tasks_may_be_delivered_twice():
    for task in (tasks.roll_up, tasks.ensure_partitions, tasks.reap_replicas) * 2:
        task()


def test_a_replica_that_is_silent_is_fenced_and_later_forgotten(caplog):
    Replica.objects.create(name="silent", heartbeat=timezone.now() - timedelta(minutes=2))
    Replica.objects.create(name="living", heartbeat=timezone.now())
    tasks.reap_replicas()
    assert Replica.objects.get(name="silent").epoch == 2
    assert "replica silent was not heard of" in caplog.text
    caplog.clear()
    Replica.objects.filter(name="silent").update(fenced_at=timezone.now() - timedelta(minutes=11))
    with caplog.at_level(logging.WARNING):
        tasks.reap_replicas()
    assert [replica.name for replica in Replica.objects.all()] == ["living"]
    assert not caplog.records  # it held nothing


def test_an_entry_knows_that_it_had_no_price():
    ledger.post([outcome(intent(card=None)), outcome(intent())])
    assert sorted(entry.is_unpriced for entry in Entry.objects.all()) == [False, True]
