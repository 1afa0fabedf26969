"""A sink's next batch: chosen, sent, and written down what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.events.envelope import Unwritten, messages
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.placing import last_position
from apps.events.sinks import registry
from apps.events.sinks.contract import HELD, Fate, Message, Result, Sender, SinkAway, SinkGone
from apps.events.telling_apart import told_apart
from apps.runtime.failpoints import failpoint

log = structlog.get_logger(__name__)

# After each try of one event that was not taken. After the last one it is a dead letter: half a day in all.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 60, 300, 900, 3600, 10_800, 28_800))
_RESTS = 8  # tenants that catch up in one batch
_BELIEVED = 5  # tries in a row after which one that says that it is busy is asked whether it takes others' events
_LOOKED_THROUGH = 10_000  # positions, for an event of another tenant
State = Undelivered.State


class Step(NamedTuple):
    """`letters`: the rows of those events that were set aside before. `rests`: those of the tenants that catch up, and
    the event from which each is held then; None: it has caught up. `through`: where the cursor is to stand."""

    events: list[Event]
    through: int
    letters: dict[int, Undelivered] = {}
    rests: dict[int | None, tuple[Undelivered, Event | None]] = {}
    passed: list[Event] = []  # of tenants of which one waits
    heads: dict[int | None, datetime] = {}  # when the first one of each of those is due


class Carrier:
    """For one thread, and for as long as it has the claim. `open`: raises SinkAway; called when there is something to
    send, and once."""

    def __init__(
        self, sink: Sink, cursor: Cursor, open: Callable[[], Sender], *, holder: str, claimed: timedelta
    ) -> None:
        self._sink = sink
        self._open = open
        self._sender: Sender | None = None
        self._holder = holder
        self._claimed = claimed
        self._position = cursor.position
        self._failures = cursor.failures
        self._busy: SinkAway | None = None
        self._size = 0
        self._is_rests_turn = True

    def step(self) -> int | None:
        """How many events were taken; None: nothing is due, or the claim is lost. Raises SinkAway, with what was taken
        before it was busy written down."""
        step = self._next()
        if step is None:
            return None
        results = self._sent(step.events)
        failpoint("event.sent")
        is_as_before = step.letters and all(result.fate is Fate.HELD for result in results)
        taken = None if is_as_before else self._write(step, results)
        if self._busy is not None:
            raise self._busy
        return taken

    def close(self) -> None:
        if self._sender is not None:
            sender, self._sender = self._sender, None
            sender.close()

    def _next(self) -> Step | None:
        """What was set aside goes first; of a tenant whose first one is not due, nothing goes. Tenants that catch up
        take turns with what is ahead, so that neither keeps the other."""
        waiting = list(self._aside().order_by("position").values("position", "tenant_id", "next_at", "state"))
        heads: dict[int | None, datetime] = {}
        for row in waiting:
            heads.setdefault(row["tenant_id"], row["next_at"])
        now = timezone.now()
        ready = [row for row in waiting if heads[row["tenant_id"]] <= now]
        if found := [row["position"] for row in ready if row["state"] == State.WAITING][: self._batch]:
            return self._again(found)
        held = [row["position"] for row in ready][:_RESTS]
        self._is_rests_turn = not self._is_rests_turn
        if self._is_rests_turn:
            return self._ahead(heads) or self._rests(held)
        return self._rests(held) or self._ahead(heads)

    @property
    def _batch(self) -> int:
        self._size = self._size or registry.kind(self._sink.kind).BATCH
        return self._size

    def _again(self, places: Sequence[int]) -> Step | None:
        """Somebody may have asked for a replay since they were found: then they are there no more."""
        rows = self._aside().filter(position__in=places).select_related("event").order_by("position")
        letters = {row.position: row for row in rows}
        return Step([row.event for row in letters.values()], self._position, letters) if letters else None

    def _rests(self, places: Sequence[int]) -> Step | None:
        """Of each tenant that is held and of which nothing waits any more, what comes next, in its order."""
        rows = list(self._aside().filter(position__in=places).select_related("event").order_by("position"))
        if not rows:
            return None
        events, rests, share = [], {}, max(1, self._batch // len(rows))
        for row in rows:
            behind = self._wanted(row.position - 1, self._position).filter(tenant_id=row.tenant_id)
            found = list(behind.order_by("position")[: share + 1])
            events += found[:share]
            rests[row.tenant_id] = (row, found[share] if len(found) > share else None)
        return Step(events, self._position, rests=rests)

    def _ahead(self, heads: dict[int | None, datetime]) -> Step | None:
        """A batch of those behind the cursor. What this sink does not want is passed over, and so is what is of a
        tenant of which one waits: that is held from there on."""
        last = last_position()
        if last <= self._position:
            return None
        found = list(self._wanted(self._position, last).order_by("position")[: self._batch])
        through = last if len(found) < self._batch else found[-1].position or last
        passed = [event for event in found if event.tenant_id in heads]
        events = [event for event in found if event.tenant_id not in heads]
        return Step(events, through, passed=passed, heads=heads)

    def _wanted(self, after: int, last: int) -> Any:
        found = Event.objects.filter(position__gt=after, position__lte=last)
        return found.filter(kind__in=self._sink.kinds.split()) if self._sink.kinds else found

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
        told = iter(self._deliver(batch) if batch else [])
        return [results[event.pk] if event.pk in results else next(told) for event in events]

    def _deliver(self, batch: Sequence[Message]) -> list[Result]:
        if self._sender is None:
            self._sender = self._open()
        try:
            return self._sender.deliver(batch)
        except SinkGone:
            raise
        except SinkAway as away:
            if not away.results and away.is_busy and self._failures < _BELIEVED:
                raise
            return self._taken(batch, away)

    def _taken(self, batch: Sequence[Message], away: SinkAway) -> list[Result]:
        """Raises SinkAway where it is that for everybody."""
        if not away.results:
            try:
                return told_apart(batch, away, deliver=self._deliver_anew, of_others=self._of_others)
            except SinkAway as error:
                if not error.results:
                    raise
                away = error
        self._busy = away
        return list(away.results)

    def _deliver_anew(self, messages: Sequence[Message]) -> list[Result]:
        """By a way that is opened anew, within a claim that is. Raises SinkAway."""
        mine = Cursor.objects.filter(sink=self._sink, holder=self._holder, position=self._position)
        if not mine.update(held_until=Now() + self._claimed):
            raise SinkAway("another worker has it")
        self.close()
        self._sender = self._open()
        return self._sender.deliver(messages)

    def _of_others(self, streams: Set[int]) -> Message | None:
        """What comes next of a tenant that is not one of these, and of which nothing waits."""
        aside = self._aside().order_by("position").select_related("event")
        waits = streams | _streams(aside.filter(state=State.WAITING))
        found = self._but(waits, aside.filter(state=State.HELD)).first()
        event = found.event if found is not None else None
        if event is None:
            ahead = self._wanted(self._position, min(last_position(), self._position + _LOOKED_THROUGH))
            event = self._but(streams | _streams(aside), ahead.order_by("position")).first()
        message = next(iter(messages([event])), None) if event is not None else None
        return None if isinstance(message, Unwritten) else message

    def _but(self, streams: Set[int], rows: Any) -> Any:
        found = rows.exclude(tenant_id__in=streams)
        return found.exclude(tenant_id=None) if 0 in streams else found

    def _write(self, step: Step, results: Sequence[Result]) -> int | None:
        taken = sum(result.fate is Fate.TAKEN for result in results)
        now = timezone.now()
        changes: dict[str, Any] = {"position": step.through, "held_until": Now() + self._claimed, "message": ""}
        changes |= {"failures": 0, "failing_since": None, "next_at": None, "delivered": F("delivered") + taken}
        if taken:
            changes["delivered_at"] = now
        with transaction.atomic():
            mine = Cursor.objects.filter(sink=self._sink, holder=self._holder, position=self._position)
            if not mine.update(**changes):
                return None
            _Settlement(self._sink, step).write(results)
        self._position, self._failures = step.through, 0
        return taken

    def _aside(self) -> Any:
        return Undelivered.objects.filter(sink=self._sink).exclude(state=State.DEAD)


def _streams(rows: Any) -> set[int]:
    return {tenant or 0 for tenant in rows.values_list("tenant_id", flat=True)}


class _Settlement:
    """What becomes of the events of one step, in the transaction that moves the cursor."""

    def __init__(self, sink: Sink, step: Step) -> None:
        self._sink, self._step = sink, step
        self._new: list[Undelivered] = []
        self._gone: list[int] = []
        self._held: dict[int | None, Event] = {}  # from where each tenant is
        self._until = {**step.heads}  # when the first one of a tenant is due
        self._died: dict[int | None, str] = {}  # what of
        self._taken: set[int | None] = set()

    def write(self, results: Sequence[Result]) -> None:
        for event, result in zip(self._step.events, results, strict=True):
            letter = self._step.letters.get(event.position or 0)
            if result.fate is Fate.HELD:
                if letter is None:
                    self._held.setdefault(event.tenant_id, event)
            elif result.fate is Fate.TAKEN:
                self._taken.add(event.tenant_id)
                self._gone += [letter.pk] if letter is not None else []
            else:
                self._failed(event, letter, result)
        Undelivered.objects.filter(pk__in=self._gone).delete()
        self._move_rests()
        Undelivered.objects.bulk_create(self._new)
        self._hold()

    def _failed(self, event: Event, letter: Undelivered | None, result: Result) -> None:
        tenant = event.tenant_id
        row = letter or Undelivered(sink=self._sink, event=event, position=event.position or 0, tenant_id=tenant)
        row.attempts += 1
        row.message = result.told[:200]
        follows = self._step.rests[tenant][0].message if tenant in self._step.rests else ""
        is_like_the_last = bool(follows) and follows == row.message and tenant not in self._taken
        if result.fate is Fate.REFUSED or row.attempts > len(PAUSES) or is_like_the_last:
            row.state = State.DEAD
            self._died[tenant] = row.message
            if not is_like_the_last:
                log.warning("event.dead_letter", subject=f"{self._sink}, {row.position}", message=row.message)
        else:
            row.next_at = timezone.now() + PAUSES[row.attempts - 1]
            self._until[tenant] = row.next_at
        if letter is None:
            self._new.append(row)
        else:
            row.save(update_fields=["state", "attempts", "next_at", "message"])

    def _move_rests(self) -> None:
        for tenant, (row, following) in self._step.rests.items():
            event = self._held.pop(tenant, following)
            if event is None:
                row.delete()
                continue
            row.event, row.position = event, event.position or 0
            row.message = self._died.pop(tenant, "" if tenant in self._taken else row.message)
            row.save(update_fields=["event", "position", "message"])

    def _hold(self) -> None:
        """One row a tenant, from its first event that is held: it stands for all later ones up to the cursor."""
        for event in self._step.passed:
            self._held.setdefault(event.tenant_id, event)
        held = Undelivered.objects.filter(sink=self._sink, state=State.HELD)
        known = {*held.filter(tenant_id__in=[*filter(None, self._held)]).values_list("tenant_id", flat=True)}
        if None in self._held and held.filter(tenant_id=None).exists():
            known.add(None)
        Undelivered.objects.bulk_create(
            Undelivered(
                sink=self._sink, event=event, position=event.position or 0, tenant_id=tenant, state=State.HELD,
                message=self._died.get(tenant, ""), next_at=self._until.get(tenant, timezone.now()),
            )
            for tenant, event in self._held.items()
            if tenant not in known
        )  # fmt: skip
        for tenant, told in self._died.items():
            held.filter(tenant_id=tenant).update(message=told)
        aside = Undelivered.objects.filter(sink=self._sink).exclude(state=State.DEAD)
        for tenant, due in self._until.items():
            if due != self._step.heads.get(tenant):
                aside.filter(tenant_id=tenant, next_at__lt=due).update(next_at=due)
