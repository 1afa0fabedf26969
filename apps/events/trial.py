"""One event that tells of nothing, sent to a sink at once, so that somebody sees what comes of it.

It is in no outbox and has no place in any order: nobody gets it again.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import structlog
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.events import envelope, relay
from apps.events.kinds import TEST
from apps.events.models import Event, Sink
from apps.events.sinks.contract import Fate, SinkAway

log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """`told` is for people: why not, and "" where it was taken."""

    is_taken: bool
    told: str


def send(sink: Sink, *, actor: Any) -> Outcome:
    """Waits for the answer. Recorded with what came of it."""
    outcome = _sent(sink)
    with transaction.atomic():
        told = {"taken": outcome.is_taken, "message": outcome.told}
        audit.record(actor=actor, action="sink.tested", target=sink, area=Area.USAGE, after=told)
    return outcome


def _sent(sink: Sink) -> Outcome:
    data = {"sink": sink.name, "title": "A test from Weir", "text": f"“{sink.name}” gets what happens."}
    event = Event(uid=uuid.uuid4(), kind=TEST, subject=f"sink/{sink.pk}", data=data, at=timezone.now(), position=0)
    (message,) = envelope.messages([event])
    try:
        sender = relay.opened(sink)
        try:
            (result,) = sender.deliver([message])
        finally:
            sender.close()
    except SinkAway as error:
        return Outcome(False, str(error))
    except Exception:
        log.exception("event.sink_broken", subject=sink.name)
        return Outcome(False, "it broke here: see the log")
    return Outcome(result.fate is Fate.TAKEN, result.told)
