"""What the ledger took in the last seconds: for pages that show calls as they happen.

Along the index of settlement, whose newest end is all that is read; the ledger's size does not matter. What is summed
is what rows say at the moment of their settlement, corrections among it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncSecond

from apps.usage.models import IS_ERROR, Entry, Kind

_FIRST = Q(kind__lt=Kind.CORRECTION)
_SUMS = {"calls": Count("pk", filter=_FIRST), "errors": Count("pk", filter=_FIRST & IS_ERROR), "cost": Sum("cost_nano")}


class Beat(NamedTuple):
    """Of one second. `calls` are attempts, money is nano-USD."""

    calls: int = 0
    errors: int = 0
    cost: int = 0


Beats = dict[int, Beat]  # by unix second


def of_all(since: datetime) -> Beats:
    """Of everybody. One query."""
    return {second: beat for _, second, beat in _grouped(Entry.objects.filter(settled_at__gte=since))}


def of_tenants(since: datetime, tenants: Iterable[int]) -> dict[int, Beats]:
    """One query."""
    found: dict[int, Beats] = {}
    rows = Entry.objects.filter(settled_at__gte=since, tenant_id__in=list(tenants))
    for (tenant,), second, beat in _grouped(rows, "tenant_id"):
        found.setdefault(tenant, {})[second] = beat
    return found


def of_members(since: datetime, members: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Beats]:
    """By tenant and user. One query."""
    wanted = set(members)
    tenants, users = ({pair[place] for pair in wanted} for place in (0, 1))
    rows = Entry.objects.filter(settled_at__gte=since, tenant_id__in=tenants, user_id__in=users)
    found: dict[tuple[int, int], Beats] = {}
    for (tenant, user), second, beat in _grouped(rows, "tenant_id", "user_id"):
        if (tenant, user) in wanted:
            found.setdefault((tenant, user), {})[second] = beat
    return found


def latest(count: int, **subject: int) -> list[Entry]:
    """The newest attempts with tenant and user, the newest first. `subject`: `tenant_id`, `user_id`, both or neither.
    One query, along an index."""
    firsts = Entry.objects.filter(_FIRST, **subject)
    return list(firsts.select_related("tenant", "user").order_by("-id")[:count])


def _grouped(rows: QuerySet[Entry], *by: str) -> Iterable[tuple[Any, int, Beat]]:
    found = rows.order_by().values_list(*by, TruncSecond("settled_at")).annotate(**_SUMS)
    for *group, second, calls, errors, cost in found:
        yield tuple(group), int(second.timestamp()), Beat(calls, errors, cost or 0)
