"""How far events have come, sink by sink."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery
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
    """Of every sink. Four queries, along indexes; one where there is no sink. Where tenants are held, one more, and one
    for each sink of which some are."""
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
    """By sink, the events that are held up to its cursor: each way there is gone once, however many tenants are held.
    Numbers of tenants begin at 1."""
    rows = Undelivered.objects.filter(state=Undelivered.State.HELD).order_by()
    found = {}
    ways = rows.values("sink").annotate(first=Min("position"), through=Max("sink__cursor__position"))
    for sink, first, through in ways.values_list("sink", "first", "through"):
        from_theirs_on = rows.annotate(stream=Coalesce("tenant_id", 0)).filter(
            sink=sink, stream=OuterRef("stream"), position__lte=OuterRef("position")
        )
        events = Event.objects.filter(position__gte=first, position__lte=through)
        found[sink] = events.annotate(stream=Coalesce("tenant_id", 0)).filter(Exists(from_theirs_on)).count()
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
