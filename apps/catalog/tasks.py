from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.catalog import breakers, health, history


@shared_task
def check_providers() -> int:
    """Check the providers that are due; how often each is, is set at the provider."""
    return health.check_due(timezone.now())


@shared_task
def forget_checks() -> int:
    """Forget what is older than it is kept."""
    return history.forget(timezone.now())


@shared_task(ignore_result=True)
def tell_breakers() -> int:
    """Tell sinks of breakers that have opened or closed."""
    return breakers.tell(timezone.now())
