from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.usage import days, figures, partitions, reaper, refusals, retention, rollups, verifications

# The broker hands a task out again when it has heard nothing for longer than the longest of them may take.
LONG_SECONDS = 3 * 3600


@shared_task
def roll_up() -> None:
    rollups.roll_up()
    days.roll_up(timezone.now())


@shared_task
def ensure_partitions() -> None:
    partitions.ensure(timezone.now())


@shared_task
def reap_replicas() -> None:
    reaper.reap()


@shared_task
def count_figures() -> None:
    figures.count()


@shared_task
def verify_recent() -> None:
    verifications.verify(quick=True)


@shared_task(time_limit=LONG_SECONDS)
def verify_everything() -> None:
    verifications.verify(quick=False)


@shared_task(time_limit=LONG_SECONDS)
def seal_months() -> None:
    retention.seal_due(timezone.now())


@shared_task
def forget_refusals() -> None:
    refusals.forget(timezone.now())
