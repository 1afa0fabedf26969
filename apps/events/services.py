"""Sinks: made, changed, removed; what they have not taken sent again or dropped. By operators alone, each
time recorded. Each function raises ValidationError for what cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.events import doors
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.placing import last_position, place
from apps.events.sinks import registry

log = structlog.get_logger(__name__)

MOST_SECRET = 10_000
_CHANGED = frozenset({"name", "target", "settings", "kinds", "is_enabled", "kept_until"})


def create_sink(
    *,
    actor: Any,
    name: str,
    kind: str,
    target: str,
    settings: Mapping[str, Any] | None = None,
    kinds: Iterable[str] = (),
    secret: str = "",
    is_enabled: bool = True,
) -> Sink:
    """It gets what happens from now on. `kinds`: none named are all."""
    place()  # what was written for sinks that are there no more is none of its
    sink = Sink(
        name=name, kind=kind, target=target.strip(), settings=dict(settings or {}), kinds=" ".join(kinds),
        is_enabled=is_enabled,
    )  # fmt: skip
    with transaction.atomic():
        audit.add(sink, actor=actor, action="sink.created", area=Area.USAGE)
        Cursor.objects.create(sink=sink, position=last_position())
        if secret:
            registry.clean_secret(kind, secret)
            seal(sink, secret)
    return sink


def update_sink(sink: Sink, *, actor: Any, secret: str = "", **changes: Any) -> Sink:
    """`name`, `target`, `settings`, `kinds`, `is_enabled`. Where the secret would be shown to somebody else than
    before, it must be given anew. One that is disabled keeps its place for WEIR_EVENT_DAYS."""
    if "kinds" in changes and not isinstance(changes["kinds"], str):
        changes["kinds"] = " ".join(changes["kinds"])
    if "is_enabled" in changes:
        kept = timezone.now() + timedelta(days=django_settings.WEIR_EVENT_DAYS)
        changes["kept_until"] = None if changes["is_enabled"] else (sink.kept_until or kept)
    with transaction.atomic():
        hold(sink)
        before = Sink.objects.select_for_update().get(pk=sink.pk)
        audit.amend(sink, actor=actor, action="sink.updated", area=Area.USAGE, changes=changes, allowed=_CHANGED)
        if secret:
            registry.clean_secret(sink.kind, secret)
            seal(sink, secret)
            audit.record(actor=actor, action="sink.secret_set", target=sink, area=Area.USAGE)
        elif before.sealed and binding(before) != binding(sink):
            raise ValidationError({"secret": "It was meant for another place: give it again."})
        resumed = {"message": ""} if changes.get("is_enabled") else {}
        Cursor.objects.filter(sink=sink).update(failures=0, next_at=None, **resumed)
    return sink


def retire(sink: Sink, *, why: str) -> bool:
    """By the system: one that says that it wants nothing any more is disabled, and keeps its place for as long as any.
    False: somebody has changed it meanwhile, or it cannot be saved as it is."""
    with transaction.atomic():
        hold(sink)
        stored = Sink.objects.select_for_update().filter(pk=sink.pk).first()
        if stored is None or not stored.is_enabled or (stored.target, stored.settings) != (sink.target, sink.settings):
            return False
        try:
            update_sink(stored, actor=None, is_enabled=False)
        except ValidationError:
            return False
        told = f"It was paused: the receiver {why}"[:200]
        audit.record(actor=None, action="sink.retired", target=stored, area=Area.USAGE, after={"message": told})
        Cursor.objects.filter(sink=stored).update(message=told, failing_since=None)
    log.warning("event.sink_retired", subject=stored.name, message=told)
    return True


def remove_sink(sink: Sink, *, actor: Any) -> None:
    """With what it has not got."""
    with transaction.atomic():
        hold(sink)
        audit.remove(sink, actor=actor, action="sink.removed", area=Area.USAGE)


def replay(sink: Sink, *, actor: Any, since: datetime) -> int:
    """From that moment on it gets again whatever it wants of what is still kept, in the same order and under the same
    ids; how many events that are, those on their way included."""
    with transaction.atomic():
        hold(sink)
        cursor = Cursor.objects.get(sink=sink)
        first = Event.objects.filter(at__gte=since, position__isnull=False).order_by("position").first()
        if first is None or first.position is None:
            return 0
        cursor.position = min(cursor.position, first.position - 1)
        # Whoever is sending at this moment has the cursor no more.
        cursor.holder, cursor.held_until, cursor.failures, cursor.next_at = "", None, 0, None
        cursor.save(update_fields=["position", "holder", "held_until", "failures", "next_at"])
        Undelivered.objects.filter(sink=sink, position__gt=cursor.position).delete()
        ahead = Event.objects.filter(position__gt=cursor.position)
        count = (ahead.filter(kind__in=sink.kinds.split()) if sink.kinds else ahead).count()
        told = {"since": since.isoformat(), "events": count}
        audit.record(actor=actor, action="sink.replayed", target=sink, area=Area.USAGE, after=told)
    return count


def send_again(letters: Iterable[int], *, sink: Sink, actor: Any) -> int:
    """Dead letters, by their ids: each as often as one that has not been tried yet. They come later than what has
    happened since."""
    with transaction.atomic():
        hold(sink)
        dead = Undelivered.objects.filter(sink=sink, pk__in=list(letters), state=Undelivered.State.DEAD)
        count = dead.update(state=Undelivered.State.WAITING, attempts=0, next_at=timezone.now())
        if count:
            told = {"events": count}
            audit.record(actor=actor, action="sink.letters_sent_again", target=sink, area=Area.USAGE, after=told)
    return count


def drop(letters: Iterable[int], *, sink: Sink, actor: Any) -> int:
    """Dead letters, by their ids: nobody sends them any more."""
    with transaction.atomic():
        hold(sink)
        dead = Undelivered.objects.filter(sink=sink, pk__in=list(letters), state=Undelivered.State.DEAD)
        told = [str(uid) for uid in dead.values_list("event__uid", flat=True)]
        count, _ = dead.delete()
        if count:
            audit.record(actor=actor, action="sink.letters_dropped", target=sink, area=Area.USAGE, after={"ids": told})
    return count


def hold(sink: Sink) -> None:
    """Until the transaction ends, and before any other row of the sink is locked: the relay writes its cursor first,
    then what refers to the sink."""
    Cursor.objects.select_for_update().filter(sink=sink).first()


def binding(sink: Sink) -> str:
    return f"{sink.kind}|{registry.kind(sink.kind).binding(sink.target, sink.settings)}"


def secret_of(sink: Sink) -> str:
    """ "": it has none. Raises doors.SecretAway."""
    if not sink.sealed:
        return ""
    return _vault().open(sink.sealed, sink=sink.pk, binding=binding(sink))


def seal(sink: Sink, secret: str) -> None:
    """In a transaction of the caller's, who records it. Raises ValidationError."""
    if not registry.kind(sink.kind).SECRET:
        raise ValidationError({"secret": "A sink of this kind has no secret."})
    if len(secret) > MOST_SECRET:
        raise ValidationError({"secret": f"A secret has up to {MOST_SECRET:,} characters."})
    sink.sealed = _vault().seal(secret, sink=sink.pk, binding=binding(sink))
    sink.save(update_fields=["sealed"])


def _vault() -> doors.Vault:
    if doors.vault is None:
        raise doors.SecretAway("nobody keeps secrets here")
    return doors.vault
