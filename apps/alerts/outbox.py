"""Notices on their way: written in the transaction that makes them, sent afterwards, tried again until they arrive.

Each is claimed by one worker for a while. One that dies in between leaves it to be sent again under the same id, by
which receivers know it: at least once, and twice only then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.alerts import sending
from apps.alerts.models import Alert, Delivery, Destination
from apps.runtime.failpoints import failpoint

log = structlog.get_logger(__name__)

CLAIMED = timedelta(minutes=2)  # longer than a try may take
# After each try that failed. After the last one it is given up: a bit more than a day in all.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
KEPT = timedelta(days=90)
_BATCH = 200


def put(
    reason: str,
    event: str,
    body: dict[str, Any],
    *,
    alert: Alert | None = None,
    destination: Destination | None = None,
    address: str = "",
) -> bool:
    """Once for a reason and whom it is told; False: it was there. In a transaction with what is told."""
    whom = f"to {destination.pk}" if destination is not None else address.lower()
    row = {"event": event, "body": body, "alert": alert, "destination": destination, "address": address}
    _, is_new = Delivery.objects.get_or_create(reason=f"{reason}:{whom}"[:200], defaults=row)
    return is_new


def send_due(now: datetime) -> int:
    """How many arrived."""
    due = Delivery.objects.filter(state=Delivery.State.PENDING, next_at__lte=now).order_by("next_at")
    return sum(send(pk, now=now) for pk in list(due.values_list("pk", flat=True)[:_BATCH]))


def send(pk: Any, *, now: datetime) -> bool:
    """One, unless another worker has it."""
    claim = Delivery.objects.filter(pk=pk, state=Delivery.State.PENDING, next_at__lte=now)
    if not claim.update(next_at=now + CLAIMED, attempts=F("attempts") + 1):
        return False
    delivery = Delivery.objects.select_related("destination").get(pk=pk)
    failpoint("alert.claimed")
    result = sending.send(delivery, now=now)
    failpoint("alert.sent")
    mine = Delivery.objects.filter(pk=pk, state=Delivery.State.PENDING, attempts=delivery.attempts)
    if result.ok:
        mine.update(state=Delivery.State.SENT, outcome=result.told[:200], sent_at=timezone.now(), next_at=None)
        return True
    is_last = result.is_final or delivery.attempts > len(PAUSES)
    if is_last:
        mine.update(state=Delivery.State.GIVEN_UP, outcome=result.told[:200], next_at=None)
        log.warning("alert.given_up", delivery=str(pk), message=result.told[:200])
    else:
        mine.update(outcome=result.told[:200], next_at=now + PAUSES[delivery.attempts - 1])
    return False


def send_test(destination: Destination) -> Delivery:
    """At once, once: it waits for the answer. Kept in the history like any other."""
    body = {
        "type": "alert.test",
        "timestamp": timezone.now().isoformat(),
        "data": {"title": "A test from Weir", "text": f"“{destination.name}” gets what it is to be told."},
    }
    with transaction.atomic():
        delivery = Delivery.objects.create(
            reason=f"test:{destination.pk}:{timezone.now().timestamp()}", event="alert.test", body=body,
            destination=destination, attempts=1, next_at=None,
        )  # fmt: skip
    result = sending.send(delivery, now=timezone.now())
    delivery.state = Delivery.State.SENT if result.ok else Delivery.State.GIVEN_UP
    delivery.outcome, delivery.sent_at = result.told[:200], timezone.now() if result.ok else None
    delivery.save(update_fields=["state", "outcome", "sent_at"])
    return delivery


def forget(now: datetime) -> int:
    """What has come to its end so long ago; alerts that are over go with their last notices."""
    gone, _ = Delivery.objects.filter(created_at__lt=now - KEPT).exclude(state=Delivery.State.PENDING).delete()
    old, _ = Alert.objects.filter(state=Alert.State.RESOLVED, resolved_at__lt=now - KEPT).delete()
    return gone + old
