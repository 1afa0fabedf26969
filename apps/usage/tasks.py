from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from apps.quotas import windows
from apps.usage import partitions, rollups

log = logging.getLogger(__name__)


@shared_task
def roll_up() -> None:
    rollups.roll_up()


@shared_task
def ensure_partitions() -> None:
    partitions.ensure(timezone.now())


@shared_task
def reap_replicas() -> None:
    for replica, amount in windows.reap().items():
        log.warning("replica %s never came back: %d nano-USD of its leases freed", replica, amount)
