"""Other systems are told of breakers that open and close: for the whole installation, by the word of all gateways.

Gateways say how their deployments fare anyway (`runtime.standings`), so a call has nothing to do for it. A chore of the
worker looks every few seconds, and remembers in a row of each open one that it has been told of. A breaker that opens
and closes between two looks is not seen.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from apps.catalog.deployment import Deployment, OpenBreaker
from apps.events import outbox
from apps.runtime import standings
from apps.runtime.state import DeploymentStanding

_KIND = "provider.health"
_CLOSED = "Calls go there again."


def tell(now: datetime.datetime) -> int:
    """How many have opened or closed since the last look. Nobody looks where no sink wants to know, and one that comes
    later is told of none that it has not seen open."""
    if not outbox.is_wanted(outbox.wanted(), _KIND):
        OpenBreaker.objects.all().delete()
        return 0
    found = standings.by_deployment()
    known = {row.deployment_id: row for row in OpenBreaker.objects.select_related("deployment")}
    failing = {pk: row for pk, row in found.items() if row.breaker != "closed"}
    count = sum(_open(each, failing[each.pk], now=now) for each in _enabled(failing.keys() - known.keys()))
    for pk, row in known.items():
        if pk in failing:
            _go_on(row, failing[pk])
        elif pk in found or row.until is None or row.until <= now:
            count += _close(row, now=now)
    return count


def _enabled(numbers: Iterable[int]) -> Iterable[Deployment]:
    return Deployment.objects.filter(pk__in=numbers, is_enabled=True).select_related("model", "provider").order_by("pk")


@transaction.atomic
def _open(deployment: Deployment, told: DeploymentStanding, *, now: datetime.datetime) -> bool:
    """Of two workers that see it one tells."""
    until = _moment(told)
    _, is_new = OpenBreaker.objects.get_or_create(deployment=deployment, defaults={"until": until, "since": now})
    if is_new:
        _publish(deployment, "open", until=until, message=told.reason, now=now)
    return is_new


def _go_on(row: OpenBreaker, told: DeploymentStanding) -> None:
    """Opened anew after calls that were tried: still the same failure."""
    until = _moment(told)
    if until is not None and until != row.until:
        OpenBreaker.objects.filter(pk=row.pk).update(until=until)


@transaction.atomic
def _close(row: OpenBreaker, *, now: datetime.datetime) -> bool:
    """It is closed, or no process knows of it any more and it may be tried again."""
    is_mine = OpenBreaker.objects.filter(pk=row.pk).delete()[0] == 1
    if is_mine:
        _publish(row.deployment, "closed", until=None, message=_CLOSED, now=now)
    return is_mine


def _moment(told: DeploymentStanding) -> datetime.datetime | None:
    return None if told.until is None else datetime.datetime.fromtimestamp(told.until, datetime.UTC)


def _publish(
    deployment: Deployment, breaker: str, *, until: datetime.datetime | None, message: str, now: datetime.datetime
) -> None:
    provider = deployment.provider
    data: dict[str, Any] = {
        "provider": {"id": provider.pk, "name": provider.name, "vendor": provider.vendor},
        "found_by": "breaker",
        "is_healthy": provider.is_healthy,
        "consecutive_failures": provider.consecutive_failures,
        "deployment": {
            "id": deployment.pk, "model": deployment.model.name, "upstream_model": deployment.upstream_model,
        },
        "breaker": breaker,
        "open_until": None if until is None else _text(until),
        "check": None,
        "status": None,
        "milliseconds": None,
        "message": message,
        "checked_at": _text(now),
    }  # fmt: skip
    outbox.emit(_KIND, tenant_id=None, subject=f"provider/{provider.pk}", data=data)


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
