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
    for replica in windows.fence():
        log.warning("replica %s was not heard of and gets no more leases", replica)
    for replica in windows.overdue():
        amount = windows.write_off(replica)
        log.warning("replica %s never came back: %d nano-USD of its leases freed", replica, amount)
