from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from apps.alerts import asked, evaluation, outbox, sealed_urls
from apps.catalog.keyrings.ring import KeyringUnavailable

log = structlog.get_logger(__name__)


@shared_task
def evaluate() -> int:
    """Ask all rules, then send what is due. URLs that lie unsealed are sealed last: nobody waits for that."""
    now = timezone.now()
    evaluation.evaluate(now)
    asked.tell(now)
    sent = outbox.send_due(timezone.now())
    try:
        sealed_urls.seal_stored()
    except KeyringUnavailable as error:  # the next run will
        log.warning("alert.unsealed", message=str(error))
    return sent


@shared_task
def forget() -> int:
    """Forget notices and alerts that are long over."""
    return outbox.forget(timezone.now())
