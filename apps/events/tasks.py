from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.events import relay, tidying


@shared_task(ignore_result=True)
def deliver() -> int:
    """Send what has happened to the sinks that want it."""
    return relay.run()


@shared_task
def forget() -> int:
    """Forget events that all sinks have, and that are too old to be sent again."""
    return tidying.forget(timezone.now())
