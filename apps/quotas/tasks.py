from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.quotas import increases


@shared_task
def expire_increases() -> int:
    """Say of increases that are over that they are, each once."""
    return increases.expire(timezone.now())
