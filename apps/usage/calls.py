"""Lists of a tenant's calls, for its members. Corrections and repricings are no calls: they are told with theirs.

Each list lies along the index of its narrowest subject; for what else it is filtered by there is no index, so the
reader bounds how many rows are looked at (`cursors.page`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from apps.audit import cursors
from apps.catalog.models import Deployment
from apps.domain import ids
from apps.usage import attempts, finding
from apps.usage.models import Entry, Kind, Status

ORDER = ("-id",)
NAMED = ("project", "user", "key", "provider")
NEWEST = 2_000  # calls that say how fast a model is
_INDEXED = ("key_id", "session", "user_id", "project_id")  # the narrowest first
_OF_ONE = ("key_id", "project_id")  # they are a tenant's own
_BATCH = 1_000


class Call(NamedTuple):
    """An attempt's first entry; `total` is what it comes to by all that was said of it since."""

    entry: Entry
    total: Entry
    later: list[Entry]


class Chosen(NamedTuple):
    """`along`: see `cursors.page`."""

    rows: QuerySet[Entry]
    along: QuerySet[Entry] | None


class Speed(NamedTuple):
    """Medians in milliseconds; `first` None: nothing was streamed. `calls` is of how many."""

    calls: int
    latency: int
    first: int | None


def chosen(
    tenant_id: int, *, since: datetime, until: datetime, outcome: str = "", term: str = "", **subject: Any
) -> Chosen:
    """`subject`: columns with a value each. `term`: a request id, a trace id, or what the provider calls the request or
    its answer; the first of them is found whenever the call was."""
    rows = Entry.objects.filter(tenant=tenant_id, kind__lt=Kind.CORRECTION)
    if (request := finding.request_of(term)) is not None:
        return Chosen(rows.filter(id__range=ids.entries_of(request), request_id=request, **subject), None)
    span = {"id__gte": finding.since(since), "id__lt": finding.since(until)}
    rows = rows.filter(**span)
    index = next((name for name in _INDEXED if subject.get(name)), None)
    # In columns of one index alone, which is all that is read of them.
    whose = {} if index in _OF_ONE else {"tenant": tenant_id}
    along = Entry.objects.filter(**span, **whose, **({index: subject[index]} if index else {}))
    found = finding.with_outcome(rows.filter(**subject), outcome)
    if term:
        found = found.filter(finding.of_call(term))
    is_plain = not term and not outcome and set(subject) <= {index}
    return Chosen(found, None if is_plain else along)


def told(rows: list[Entry]) -> list[Call]:
    """One query or two."""
    later = attempts.said_later(rows)
    return [_call(row, later.get(row.pk, [])) for row in rows]


def named(rows: QuerySet[Entry]) -> QuerySet[Entry]:
    """With what their numbers name: a query each, whatever the planner thinks of joins."""
    return rows.prefetch_related(*NAMED)


def exported(found: Chosen, *, most: int) -> Iterator[list[Call]]:
    """The newest calls, `most` at most, batch by batch; of those along which they are looked for no more than a page
    of the list reads."""
    page = cursors.Page([], "", "")
    while most > 0:
        size = min(_BATCH, most)
        page = cursors.page(named(found.rows), ORDER, cursor=page.older, size=size, along=found.along)
        if page.rows:
            yield told(page.rows)
        most -= len(page.rows)
        if not page.older or page.last is not None:
            return


def one(entry: UUID, *, tenant_id: int, **subject: Any) -> Entry | None:
    """The first entry of the attempt that this one is of, if it is the tenant's. One query, and one for each name."""
    rows = Entry.objects.filter(pk=ids.in_slot(entry, slot=ids.Slot.FIRST), tenant=tenant_id, **subject)
    return rows.prefetch_related(*NAMED, "model", "pinned").first()


def tried(entry: Entry) -> list[Entry]:
    """The attempts of its request in order, with their deployments."""
    rows = attempts.of_request(entry).filter(kind__lt=Kind.CORRECTION)
    deployments = Prefetch("deployment", Deployment.objects.select_related("model", "provider"))
    return list(rows.prefetch_related(deployments)[: attempts.MOST])


def speeds(tenant_id: int, *, since: datetime, model_id: int | None = None) -> dict[int, Speed]:
    """By model, of those of the tenant's newest calls that were answered. One query."""
    rows = Entry.objects.filter(tenant=tenant_id, id__gte=finding.since(since)).order_by("-id")
    newest = rows.values_list("model_id", "kind", "status", "cached", "latency_ms", "ttft_ms")[:NEWEST]
    seen: dict[int, list[tuple[int, int | None]]] = {}
    for model, kind, status, cached, latency, first in newest:
        if kind == Kind.POST and status == Status.OK and cached is None and model_id in (None, model):
            seen.setdefault(model, []).append((latency, first))
    return {model: _speed(times) for model, times in seen.items()}


def _call(row: Entry, later: list[Entry]) -> Call:
    return Call(row, attempts.in_all([row, *later]) if later else row, later)


def _speed(times: list[tuple[int, int | None]]) -> Speed:
    firsts = [first for _, first in times if first is not None]
    latency = round(median(latency for latency, _ in times))
    return Speed(len(times), latency, round(median(firsts)) if firsts else None)
