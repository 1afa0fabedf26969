"""Committed events get their positions: numbers without gaps, in one order for all sinks.

A row that is committed late gets a late number, so that no sink has passed it already. What was committed when another
transaction began to write is before all that one writes, and the rows of one are in the order in which it wrote them:
what follows from something comes after it. Two that write at the same time are in the order of their commits only where
events get positions in between: those that get theirs together are in the order in which their rows were made.
"""

from __future__ import annotations

from django.db import connection, transaction

from apps.events.models import Event, Log
from apps.runtime.failpoints import failpoint

AT_ONCE = 2_000
# Placeholders only. A part at a time, since each row is written anew.
_PLACE = """UPDATE events_event SET position = %s + unplaced.place FROM (
        SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place
        FROM (SELECT id FROM events_event WHERE position IS NULL ORDER BY id LIMIT %s) AS first
    ) AS unplaced WHERE events_event.id = unplaced.id"""


def place() -> int:
    """All that is committed; how many events. Whoever else is at it is waited for."""
    count = 0
    while Event.objects.filter(position=None).exists():
        with transaction.atomic():
            Log.objects.get_or_create(pk=1)
            order = Log.objects.select_for_update().get(pk=1)
            with connection.cursor() as cursor:
                cursor.execute(_PLACE, [order.last, AT_ONCE])
                placed = cursor.rowcount
            order.last += placed
            order.save(update_fields=["last"])
            failpoint("event.placed")
        count += placed
    return count


def last_position() -> int:
    return Log.objects.filter(pk=1).values_list("last", flat=True).first() or 0
