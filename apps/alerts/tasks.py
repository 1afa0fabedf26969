from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from apps.alerts import asked, evaluation, outbox, services
from apps.catalog.keyrings.ring import KeyringRefused

log = structlog.get_logger(__name__)


@shared_task
def evaluate() -> int:
    """Ask all rules, then send what is due."""
    now = timezone.now()
    evaluation.evaluate(now)
    asked.tell(now)
    try:
        services.seal_urls()
    except KeyringRefused as error:  # the next run will, and whoever can be told without a secret is told now
        log.warning("alert.unsealed", message=str(error))
    return outbox.send_due(timezone.now())


@shared_task
def forget() -> int:
    """Forget notices and alerts that are long over."""
    return outbox.forget(timezone.now())
