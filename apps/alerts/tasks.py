from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.alerts import asked, evaluation, outbox


@shared_task
def evaluate() -> int:
    """Ask all rules, then send what is due."""
    now = timezone.now()
    evaluation.evaluate(now)
    asked.tell(now)
    return outbox.send_due(timezone.now())


@shared_task
def forget() -> int:
    """Forget notices and alerts that are long over."""
    return outbox.forget(timezone.now())
