"""How far events have come, sink by sink."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.events.models import Event, Sink, Undelivered
from apps.events.placing import last_position


class Lag(NamedTuple):
    """`undelivered` counts events that the sink has not got, those of kinds that it does not want among them; `age` is
    that of the oldest, in seconds, 0 where there is none. `waiting` are those of them that were set aside, with all
    that is held behind them. Dead letters count apart."""

    sink: Sink
    undelivered: int
    age: float
    dead: int
    waiting: int
    delivered: int
    delivered_at: datetime | None
    failing_since: datetime | None
    message: str

    @property
    def is_away(self) -> bool:
        return self.failing_since is not None


def lags() -> list[Lag]:
    """Of every sink. Four queries, along indexes; one where there is no sink, and one more where tenants are held."""
    if not (sinks := list(_told())):
        return []
    now = timezone.now()
    unplaced = Event.objects.filter(position=None).order_by("id")
    oldest = unplaced.values_list("at", flat=True).first()
    count = unplaced.count()
    last = last_position()
    held = _held() if any(vars(sink)["held"] for sink in sinks) else {}
    return [_lag(sink, last=last, unplaced=count, oldest=oldest, held=held.get(sink.pk, 0), now=now) for sink in sinks]


def letters(sink: Sink) -> QuerySet[Undelivered]:
    """What it has not taken, the oldest first."""
    return Undelivered.objects.filter(sink=sink).select_related("event").order_by("position")


def _told() -> QuerySet[Sink]:
    after = Event.objects.filter(position__gt=OuterRef("cursor__position")).order_by("position")
    dead, waiting, held = (Q(undelivered__state=state) for state in ("dead", "waiting", "held"))
    return (
        Sink.objects.select_related("cursor")
        .annotate(
            next_position=Subquery(after.values("position")[:1]),
            next_at=Subquery(after.values("at")[:1]),
            dead=Count("undelivered", filter=dead),
            waiting=Count("undelivered", filter=waiting),
            held=Count("undelivered", filter=held),
            waits_since=Min("undelivered__since", filter=waiting | held),
            place=F("cursor__position"),
        )
        .order_by("name", "pk")  # of its own: one that counts has not its model's
    )


def _held() -> dict[int, int]:
    """By sink, the events that are held up to its cursor. Numbers of tenants begin at 1."""
    theirs = Event.objects.annotate(stream=Coalesce("tenant_id", 0)).filter(
        stream=Coalesce(OuterRef("tenant_id"), 0),
        position__gte=OuterRef("position"),
        position__lte=OuterRef("sink__cursor__position"),
    )
    counted = theirs.order_by().annotate(one=Value(1)).values("one").annotate(count=Count("pk")).values("count")
    rows = Undelivered.objects.filter(state=Undelivered.State.HELD).order_by()
    found: Counter[int] = Counter()
    for sink, count in rows.annotate(count=Subquery(counted)).values_list("sink", "count"):
        found[sink] += count or 0
    return found


def _lag(sink: Sink, *, last: int, unplaced: int, oldest: datetime | None, held: int, now: datetime) -> Lag:
    found = vars(sink)
    moments = [moment for moment in (found["waits_since"], found["next_at"] or oldest) if moment is not None]
    ahead = last - found["next_position"] + 1 if found["next_position"] is not None else 0
    cursor = sink.cursor
    return Lag(
        sink=sink,
        undelivered=ahead + unplaced + found["waiting"] + held,
        age=max(0.0, (now - min(moments)).total_seconds()) if moments else 0.0,
        dead=found["dead"],
        waiting=found["waiting"] + held,
        delivered=cursor.delivered,
        delivered_at=cursor.delivered_at,
        failing_since=cursor.failing_since,
        message=cursor.message,
    )
