from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.keys import services


@shared_task
def audit_expired_keys() -> int:
    """Write the end of expired keys into the audit, each once, and tell other systems of those that end soon."""
    now = timezone.now()
    services.announce_expiries(now)
    return services.record_expiries(now)
