from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.policies import interventions


@shared_task
def forget_interventions() -> int:
    """Forget what is older than it is kept."""
    return interventions.forget(timezone.now())
