"""All sinks, and what they have not taken, for whoever manages them."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.events import selectors
from apps.events.models import Sink, Undelivered


def sinks() -> QuerySet[Sink]:
    return Sink.objects.all()


def undelivered() -> QuerySet[Undelivered]:
    return Undelivered.objects.select_related("event", "sink")


def standings() -> dict[int, selectors.Lag]:
    """By sink. Four queries."""
    return {lag.sink.pk: lag for lag in selectors.lags()}
