"""Secrets of sinks that sign: Weir makes them, shows each once, and lets the one before sign beside it for a while.

Those of other kinds, which Weir is given, are set with the sink itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.models import Area
from apps.events import doors, services
from apps.events.models import Sink
from apps.events.sinks import webhook
from apps.outbound import webhooks

KIND = "webhook"


class Made(NamedTuple):
    """`secret` exists here only: show it once. "": it has none that Weir has made."""

    sink: Sink
    secret: str

    def __repr__(self) -> str:
        return f"Made({self.sink})"


def create(*, actor: Any, kind: str, secret: str = "", **told: Any) -> Made:
    """As `services.create_sink`; one that signs gets a secret where none is given."""
    made = webhooks.new_secret() if kind == KIND and not secret else ""
    return Made(services.create_sink(actor=actor, kind=kind, secret=secret or made, **told), made)


def rotate(sink: Sink, *, actor: Any) -> Made:
    """Another secret; the one before signs beside it for `webhook.OVERLAP`. Raises ValidationError."""
    if sink.kind != KIND:
        raise ValidationError("Only webhooks have a secret that Weir makes.")
    with transaction.atomic():
        services.hold(sink)
        stored = Sink.objects.select_for_update().get(pk=sink.pk)
        try:
            before = services.secret_of(stored)
        except doors.SecretAway:
            raise ValidationError("The one that it has cannot be read at present.") from None
        secret, kept = webhook.rotated(before, now=timezone.now())
        services.seal(stored, kept)
        audit.record(actor=actor, action="sink.rotated", target=stored, area=Area.USAGE)
    sink.refresh_from_db()
    return Made(sink, secret)
