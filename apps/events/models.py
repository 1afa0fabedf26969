from __future__ import annotations

import uuid

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.events import kinds as known


class Event(models.Model):
    """Something that has happened, in the transaction that made it happen. Nothing of a row changes but its position.

    `data` null: the row refers to what it tells of by `uid`, and whoever made it renders it (see `doors`). `position`
    is its place in the order in which all sinks get events; null: it has none yet. Numbers are not foreign keys: an
    event outlives what it tells of.
    """

    uid = models.UUIDField(default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=32)
    tenant_id = models.BigIntegerField(null=True)
    subject = models.CharField(max_length=200, blank=True, db_default="")
    data = models.JSONField(null=True)
    at = models.DateTimeField(db_default=Now())
    position = models.BigIntegerField(null=True, unique=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["id"], condition=Q(position=None), name="event_unplaced")]

    def __str__(self) -> str:
        return f"{self.kind} {self.uid}"


class Log(models.Model):
    """One row: the last position that was given. Whoever gives positions locks it, so they have no gaps."""

    last = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.last)


class SinkQuerySet(models.QuerySet["Sink"]):
    def listening(self) -> SinkQuerySet:
        """Those for which events are written: enabled, or disabled for so short a time that they keep their place."""
        return self.filter(Q(is_enabled=True) | Q(kept_until__gt=Now()))


class Sink(models.Model):
    """Where events go. `target` and `settings` depend on the kind (see `sinks`); what must be secret is sealed.

    `kinds` are those it wants, with spaces between; "": all. A disabled one gets nothing, and until `kept_until` what
    happens is kept for it.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16)
    target = models.CharField(max_length=1000)
    settings = models.JSONField(default=dict, blank=True)
    kinds = models.CharField(max_length=500, blank=True)
    sealed = models.TextField(blank=True, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    kept_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SinkQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(known.words(self.kinds) or known.KINDS)

    def clean(self) -> None:
        from apps.events.sinks import registry

        words = known.words(self.kinds)
        if unknown := [word for word in words if word not in known.KINDS]:
            raise ValidationError({"kinds": f"There are no events {unknown[0][:40]!r}."})
        self.kinds = " ".join(word for word in known.KINDS if word in words)
        self.settings = registry.clean(self.kind, self.target, self.settings or {})


class Cursor(models.Model):
    """How far a sink has come: it has everything up to `position`, but what is undelivered.

    One worker has it at a time, until `held_until`, under the name in `holder`. `failures` in a row say how long it is
    left alone, until `next_at`; `message` says why.
    """

    sink = models.OneToOneField(Sink, on_delete=models.CASCADE, related_name="cursor")
    position = models.BigIntegerField(default=0)
    holder = models.CharField(max_length=36, blank=True)
    held_until = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=200, blank=True)
    delivered = models.BigIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.sink} at {self.position}"


class Undelivered(models.Model):
    """One event that one sink has not taken, though its cursor is past it. While one of a tenant waits, its later ones
    wait behind it: the first of those is held, in one row for all of them up to the cursor. A dead letter holds up
    nobody: it stays until somebody sends it again or drops it.

    `message` of one that is held: what the one before it was given up for."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        HELD = "held", "Held with all later ones"
        DEAD = "dead", "Dead letter"

    sink = models.ForeignKey(Sink, on_delete=models.CASCADE, related_name="undelivered")
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="+")
    position = models.BigIntegerField()
    tenant_id = models.BigIntegerField(null=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    message = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["sink", "position"]
        default_permissions = ("view",)
        verbose_name = "undelivered event"
        verbose_name_plural = "undelivered events"
        constraints = [models.UniqueConstraint(fields=["sink", "position"], name="undelivered_once")]
        indexes = [models.Index(fields=["sink", "state", "position"], name="undelivered_of_sink")]

    def __str__(self) -> str:
        return f"{self.event} to {self.sink}"
