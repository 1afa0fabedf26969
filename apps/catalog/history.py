"""What checks of providers came to, of late: by the half hour for pictures, one by one for the page."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import NamedTuple

from django.conf import settings
from django.db.models import Avg, Count, Max, Q

from apps.catalog.health_check import SLOT_SECONDS
from apps.catalog.models import HealthCheck, Provider

SLOTS = 48  # a day
MOST_KEPT = 20_000  # of one provider
_AT_ONCE = 1_000


class Slot(NamedTuple):
    """Half an hour. `milliseconds`: the mean of those that were answered; None: there was none."""

    starts: datetime.datetime
    checks: int = 0
    failures: int = 0
    milliseconds: int | None = None
    slowest: int | None = None


def slot_of(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) // SLOT_SECONDS


def day(providers: Collection[int], *, now: datetime.datetime) -> dict[int, list[Slot]]:
    """By provider, the last 24 hours, oldest first, the present half hour at the end. One query."""
    last = slot_of(now)
    first = last - SLOTS + 1
    empty = [Slot(datetime.datetime.fromtimestamp(n * SLOT_SECONDS, datetime.UTC)) for n in range(first, last + 1)]
    found = {provider: list(empty) for provider in providers}
    answered = Q(ok=True)
    rows = (
        HealthCheck.objects.filter(provider__in=list(providers), slot__gte=first, slot__lte=last)
        .order_by()
        .values_list("provider_id", "slot")
        .annotate(
            checks=Count("pk"),
            failures=Count("pk", filter=~answered),
            mean=Avg("milliseconds", filter=answered),
            slowest=Max("milliseconds", filter=answered),
        )
    )
    for provider, slot, checks, failures, mean, slowest in rows:
        starts = empty[slot - first].starts
        found[provider][slot - first] = Slot(starts, checks, failures, None if mean is None else round(mean), slowest)
    return found


def latest(provider: Provider, *, most: int) -> list[HealthCheck]:
    return list(HealthCheck.objects.filter(provider=provider).order_by("-slot", "-pk")[:most])


def forget(now: datetime.datetime) -> int:
    """Those past WEIR_HEALTH_DAYS, those beyond MOST_KEPT of a provider, and those of providers that are gone."""
    end = slot_of(now - datetime.timedelta(days=settings.WEIR_HEALTH_DAYS))
    known = list(Provider.objects.values_list("pk", flat=True))
    count = _delete(~Q(provider__in=known))
    for pk in known:
        count += _delete(Q(provider=pk, slot__lt=end))
        newest = HealthCheck.objects.filter(provider=pk).order_by("-pk").values_list("pk", flat=True)
        for last in newest[MOST_KEPT : MOST_KEPT + 1]:
            count += _delete(Q(provider=pk, pk__lte=last))
    return count


def _delete(which: Q) -> int:
    """A part at a time, so that no statement takes long."""
    count = 0
    while rows := list(HealthCheck.objects.filter(which).order_by().values_list("pk", flat=True)[:_AT_ONCE]):
        count += HealthCheck.objects.filter(pk__in=rows).delete()[0]
    return count
