"""From the outbox to its sinks: at least once, and the events of a tenant in their order, for each sink by itself.

A sink advances along the positions with a cursor of its own. What it does not take is set aside with its reason and
tried again, while the later events of that tenant wait behind it and those of others go on. After the last try, or
where the sink refuses for good, it is a dead letter, and its tenant goes on too: what follows and fails for the same
reason is not tried as often once more. A sink that is away gets nothing at all until it is back: then nothing counts
against single events. Whether it is away or does not want what it was sent, an event of another tenant tells. One that
wants nothing any more is paused.

One worker has a sink at a time, by a claim that ends by itself. One that dies between sending and moving the cursor
leaves events that are sent once more: receivers know them by `source` and `id`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.events import doors, placing, services
from apps.events.carrying import Carrier
from apps.events.models import Cursor, Sink, Undelivered
from apps.events.sinks import contract, registry
from apps.events.sinks.contract import Opened, SinkAway, SinkGone

log = structlog.get_logger(__name__)

SECONDS = 10.0  # of one run, while there is something to do
CLAIMED = timedelta(seconds=contract.SECONDS + 25)  # longer than a batch may take, with its reading and writing
# While a sink is away, after each failure in a row; then the last one again and again.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 20, 30, 60))
_AT_ONCE = 8  # sinks


def run(*, seconds: float = SECONDS) -> int:
    """All that is due, for as long as there is something; how many events were taken."""
    if not Sink.objects.listening().exists():
        return 0
    until = time.monotonic() + seconds
    count = 0
    while True:
        placed = placing.place()
        found = list(due())
        taken = sum(_all(found, until=until))
        count += taken
        if time.monotonic() >= until or not (placed or taken):
            return count


def due() -> QuerySet[Sink]:
    """Enabled sinks for which something is to be sent now, and which nobody has."""
    now = timezone.now()
    aside = Undelivered.objects.exclude(state=Undelivered.State.DEAD)
    waiting = aside.filter(sink=OuterRef("pk"), next_at__lte=now)
    is_free = Q(cursor__held_until=None) | Q(cursor__held_until__lt=Now())
    is_ready = Q(cursor__next_at=None) | Q(cursor__next_at__lte=now)
    ahead = Q(cursor__position__lt=placing.last_position())
    return Sink.objects.filter(is_free, is_ready, ahead | Q(Exists(waiting)), is_enabled=True).order_by("pk")


def deliver(sink: Sink, *, until: float = float("inf")) -> int:
    """What is due at one sink, unless another worker has it; how many events it took. Raises whatever breaks here, as
    the database does; what was taken before stays taken."""
    holder = str(uuid.uuid4())
    if not _claim(sink, holder):
        return 0
    cursor = Cursor.objects.get(sink=sink)
    count = 0
    try:
        with closing(Carrier(sink, cursor, lambda: opened(sink), holder=holder, claimed=CLAIMED)) as carrier:
            while (taken := carrier.step()) is not None:
                count += taken
                if time.monotonic() >= until:
                    break
    except SinkGone as gone:
        if not services.retire(sink, why=str(gone)):
            _fail(cursor, gone, holder=holder)
    except SinkAway as away:
        _fail(cursor, away, holder=holder)
    finally:
        Cursor.objects.filter(sink=sink, holder=holder).update(holder="", held_until=None)
    return count


def _all(sinks: Sequence[Sink], *, until: float) -> Iterable[int]:
    """Each in a thread of its own, so that one which is slow keeps no other."""
    if len(sinks) < 2:
        return [_kept(sink, until=until) for sink in sinks]
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="sink") as threads:
        return list(threads.map(lambda sink: _aside(sink, until=until), sinks))


def _aside(sink: Sink, *, until: float) -> int:
    """In a thread: its connection ends with it."""
    try:
        return _kept(sink, until=until)
    finally:
        connection.close()


def _kept(sink: Sink, *, until: float) -> int:
    """What breaks one sink breaks no other, and is left alone as one that is away is."""
    try:
        return deliver(sink, until=until)
    except Exception:
        log.exception("event.sink_broken", subject=sink.name)
        with suppress(Cursor.DoesNotExist, DatabaseError, InterfaceError):
            _fail(Cursor.objects.get(sink=sink), SinkAway("it broke here: see the log"), holder="")
        return 0


def _claim(sink: Sink, holder: str) -> bool:
    """By the database's clock, which all workers share: theirs may differ by more than a claim lasts."""
    free = Cursor.objects.filter(Q(held_until=None) | Q(held_until__lt=Now()), sink=sink)
    return free.update(holder=holder, held_until=Now() + CLAIMED) == 1


def opened(sink: Sink) -> contract.Sender:
    """Raises SinkAway."""
    try:
        kind = registry.kind(sink.kind)
        secret = services.secret_of(sink)
    except KeyError:
        raise SinkAway(f"this version of Weir has no sinks of kind {sink.kind}") from None
    except doors.SecretAway as error:
        raise SinkAway(str(error)) from None
    return kind.open(Opened(sink.pk, sink.target, sink.settings, secret, doors.networks()))


def _fail(cursor: Cursor, away: SinkAway, *, holder: str) -> None:
    now, why = timezone.now(), str(away)
    failures = Cursor.objects.filter(pk=cursor.pk).values_list("failures", flat=True).get()
    pause = max(PAUSES[min(failures, len(PAUSES) - 1)], timedelta(seconds=away.after))
    mine = Cursor.objects.filter(pk=cursor.pk, holder=holder)
    mine.update(failures=F("failures") + 1, next_at=now + pause, message=why[:200])
    mine.filter(failing_since=None).update(failing_since=now)
    if failures == 0:
        log.warning("event.sink_away", subject=cursor.sink.name, message=why[:200])
