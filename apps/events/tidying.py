"""What of the outbox nobody needs any more."""

from __future__ import annotations

from collections.abc import Iterator
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
    count = 0
    for found in _old(now - timedelta(days=settings.WEIR_EVENT_DAYS), through=_passed()):
        count += Event.objects.filter(pk__in=found).exclude(Exists(needed)).delete()[0]
    return count


def _old(before: datetime, *, through: int) -> Iterator[list[int]]:
    """Along the positions, until a part has nothing old: what is young is not walked through every hour. One that was
    committed long after its time goes with those around it."""
    last = 0
    while True:
        part = Event.objects.filter(position__gt=last, position__lte=through).order_by("position")[:_AT_ONCE]
        rows = list(part.values_list("pk", "position", "at"))
        found = [pk for pk, _, at in rows if at < before]
        if not found:
            return
        yield found
        last = rows[-1][1] or 0


def _passed() -> int:
    """The position that all who count have passed, with all tenants."""
    counted = Sink.objects.listening()
    places = Cursor.objects.filter(sink__in=counted).aggregate(first=Min("position"))["first"]
    held = Undelivered.objects.filter(sink__in=counted, state=Undelivered.State.HELD)
    behind = held.aggregate(first=Min("position"))["first"]
    passed = last_position() if places is None else places
    return passed if behind is None else min(passed, behind - 1)
