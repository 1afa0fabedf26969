"""A sink's next batch: chosen, sent, and written down what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.events.envelope import Unwritten, messages
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.placing import last_position
from apps.events.sinks import registry
from apps.events.sinks.contract import HELD, Fate, Message, Result, Sender
from apps.runtime.failpoints import failpoint

log = structlog.get_logger(__name__)

# After each try of one event that was not taken. After the last one it is a dead letter: half a day in all.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 60, 300, 900, 3600, 10_800, 28_800))
MOST_WAITING = 5_000  # of one sink; then its cursor stays where it is


class Step(NamedTuple):
    """`through`: where the cursor is to stand. `letters`: the rows of those that were set aside before."""

    events: list[Event]
    letters: dict[int, Undelivered]
    behind: list[Event]
    through: int


class Carrier:
    """For one thread, and for as long as it has the claim."""

    def __init__(self, sink: Sink, cursor: Cursor, sender: Sender, *, holder: str, claimed: timedelta) -> None:
        self._sink = sink
        self._sender = sender
        self._holder = holder
        self._claimed = claimed
        self._position = cursor.position
        self._size = registry.kind(sink.kind).BATCH

    def step(self) -> int | None:
        """How many events were taken; None: nothing is due, or the claim is lost. Raises SinkAway, and then nothing has
        changed."""
        step = self._next()
        if step is None:
            return None
        results = self._sent(step.events)
        failpoint("event.sent")
        if step.letters and all(result.fate is Fate.HELD for result in results):
            return None  # as before: it is not asked again at once
        return self._write(step, results)

    def _next(self) -> Step | None:
        """What was set aside goes first; of a tenant whose first one is not due, nothing goes."""
        waiting = list(self._waiting().order_by("position").values("position", "tenant_id", "next_at"))
        heads: dict[int | None, Any] = {}
        for row in waiting:
            heads.setdefault(row["tenant_id"], row["next_at"])
        now = timezone.now()
        ready = [row["position"] for row in waiting if heads[row["tenant_id"]] <= now][: self._size]
        if ready:
            letters = {row.position: row for row in self._waiting().filter(position__in=ready).select_related("event")}
            return Step([letters[place].event for place in ready], letters, [], self._position)
        if len(waiting) >= MOST_WAITING:
            return None
        return self._ahead({*heads})

    def _ahead(self, held: set[int | None]) -> Step | None:
        """A batch of those behind the cursor. What this sink does not want is passed over; what is of a tenant of which
        one waits is set aside with it."""
        last = last_position()
        if last <= self._position:
            return None
        ahead = Event.objects.filter(position__gt=self._position, position__lte=last)
        if self._sink.kinds:
            ahead = ahead.filter(kind__in=self._sink.kinds.split())
        found = list(ahead.order_by("position")[: self._size])
        through = last if len(found) < self._size else found[-1].position or last
        behind = [event for event in found if event.tenant_id in held]
        return Step([event for event in found if event.tenant_id not in held], {}, behind, through)

    def _sent(self, events: Sequence[Event]) -> list[Result]:
        """In order. What cannot be told holds up its tenant as what is not taken does."""
        results: dict[int, Result] = {}
        stopped: set[int] = set()
        batch: list[Message] = []
        for event, message in zip(events, messages(events), strict=True):
            stream = event.tenant_id or 0
            if stream in stopped:
                results[event.pk] = HELD
            elif isinstance(message, Unwritten):
                stopped.add(stream)
                results[event.pk] = Result(Fate.REFUSED if message.is_final else Fate.AGAIN, message.why)
            else:
                batch.append(message)
        told = iter(self._sender.deliver(batch) if batch else [])
        return [results[event.pk] if event.pk in results else next(told) for event in events]

    def _write(self, step: Step, results: Sequence[Result]) -> int | None:
        taken = sum(result.fate is Fate.TAKEN for result in results)
        now = timezone.now()
        changes: dict[str, Any] = {"position": step.through, "held_until": now + self._claimed, "message": ""}
        changes |= {"failures": 0, "failing_since": None, "next_at": None, "delivered": F("delivered") + taken}
        if taken:
            changes["delivered_at"] = now
        with transaction.atomic():
            mine = Cursor.objects.filter(sink=self._sink, holder=self._holder, position=self._position)
            if not mine.update(**changes):
                return None
            self._settle(step, results)
            Undelivered.objects.bulk_create(self._row(event, HELD) for event in step.behind)
        self._position = step.through
        return taken

    def _settle(self, step: Step, results: Sequence[Result]) -> None:
        new, gone = [], []
        for event, result in zip(step.events, results, strict=True):
            letter = step.letters.get(event.position or 0)
            if result.fate is Fate.TAKEN:
                gone += [letter.pk] if letter is not None else []
            elif letter is None:
                new.append(self._row(event, result))
            elif result.fate is not Fate.HELD:
                self._judge(letter, result)
                letter.save(update_fields=["state", "attempts", "next_at", "message"])
        Undelivered.objects.filter(pk__in=gone).delete()
        Undelivered.objects.bulk_create(new)

    def _row(self, event: Event, result: Result) -> Undelivered:
        row = Undelivered(sink=self._sink, event=event, position=event.position or 0, tenant_id=event.tenant_id)
        if result.fate is not Fate.HELD:
            self._judge(row, result)
        return row

    def _judge(self, row: Undelivered, result: Result) -> None:
        row.attempts += 1
        row.message = result.told[:200]
        if result.fate is Fate.REFUSED or row.attempts > len(PAUSES):
            row.state = Undelivered.State.DEAD
            log.warning("event.dead_letter", subject=f"{self._sink}, {row.position}", message=row.message)
        else:
            row.next_at = timezone.now() + PAUSES[row.attempts - 1]

    def _waiting(self) -> Any:
        return Undelivered.objects.filter(sink=self._sink, state=Undelivered.State.WAITING)
