from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.usage import partitions, reaper, rollups


@shared_task
def roll_up() -> None:
    rollups.roll_up()


@shared_task
def ensure_partitions() -> None:
    partitions.ensure(timezone.now())


@shared_task
def reap_replicas() -> None:
    reaper.reap()
