from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.access import repeats


@shared_task
def forget_answers() -> int:
    """Drop what was answered to requests that may have been repeated, after a day."""
    return repeats.forget(timezone.now())
