"""What of the outbox nobody needs any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, Min, OuterRef

from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.placing import last_position, place

LETTERS_KEPT = timedelta(days=90)
_AT_ONCE = 2_000


def forget(now: datetime) -> int:
    """Events that every sink has passed and that are older than WEIR_EVENT_DAYS. One that is enabled and away is waited
    for, however long; one that is disabled only as long as it keeps its place. Dead letters stay for 90 days."""
    place()  # what nobody listens to any more goes too
    Undelivered.objects.filter(state=Undelivered.State.DEAD, since__lt=now - LETTERS_KEPT).delete()
    needed = Undelivered.objects.filter(event=OuterRef("pk"))
    old = Event.objects.filter(at__lt=now - timedelta(days=settings.WEIR_EVENT_DAYS), position__lte=_passed())
    rows = old.exclude(Exists(needed)).order_by("position").values_list("pk", flat=True)
    count = 0
    while found := list(rows[:_AT_ONCE]):
        count += Event.objects.filter(pk__in=found).delete()[0]
    return count


def _passed() -> int:
    """The position that all who count have passed, with all tenants."""
    counted = Sink.objects.listening()
    places = Cursor.objects.filter(sink__in=counted).aggregate(first=Min("position"))["first"]
    held = Undelivered.objects.filter(sink__in=counted, state=Undelivered.State.HELD)
    behind = held.aggregate(first=Min("position"))["first"]
    passed = last_position() if places is None else places
    return passed if behind is None else min(passed, behind - 1)
