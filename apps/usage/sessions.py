"""What sessions of coding agents cost, and what each of their agents had of it: by what callers say of themselves.

Read from the ledger, along the indexes of entries that have a session. Whoever asks says which tenant's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from apps.domain import ids
from apps.usage.models import IS_ERROR, Entry, Kind

PAGE = 50
# Entries that are looked through for a page of sessions, and how far back.
_LOOKED_AT = 5_000
_BACK = timedelta(days=90)
_FIGURES: dict[str, Any] = {
    "calls": Count("pk", filter=Q(kind__lt=Kind.CORRECTION)),
    "errors": Count("pk", filter=Q(IS_ERROR, kind__lt=Kind.CORRECTION)),
    "tokens_in": Sum("in_fresh") + Sum("in_cache_read") + Sum("in_cache_write_5m") + Sum("in_cache_write_1h"),
    "tokens_out": Sum("out_total"),
    "cost": Sum("cost_nano"),
    "low": Sum("low_nano"),
    "high": Sum("high_nano"),
    "began": Min("started_at"),
    "last": Max("started_at"),
}


class Figures(NamedTuple):
    """Money in nano-USD; the true cost lies between `low` and `high`. `began` and `last`: of the first call and of the
    last one."""

    calls: int
    errors: int
    tokens_in: int
    tokens_out: int
    cost: int
    low: int
    high: int
    began: datetime
    last: datetime


class Session(NamedTuple):
    """`agents`: how many have worked in it beside the one that the person talks to."""

    name: str
    user_id: int | None
    project_id: int
    agents: int
    figures: Figures


class Agent(NamedTuple):
    """Of one session. `name` "": the one that the person talks to. `parent`: who started it."""

    name: str
    parent: str
    figures: Figures


class Page(NamedTuple):
    """Newest first. `older`: what to ask the next page with; None: there is none."""

    sessions: list[Session]
    older: UUID | None


def newest(now: datetime, *, before: UUID | None = None, **subject: int) -> Page:
    """Sessions by their last calls; `before` is the `older` of the page before. `subject`: `tenant_id`, and `user_id`
    or `project_id`.

    Three queries: the newest entries, whether the sessions were on a page before, and what they come to in all.
    """
    floor = ids.floor(int((now.astimezone(UTC) - _BACK).timestamp() * 1000))
    rows = _of(subject).filter(id__gte=floor).order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    names: dict[str, None] = {}
    older = None
    looked_at = list(rows.values_list("session", "id")[:_LOOKED_AT])
    for name, entry in looked_at:
        if len(names) == PAGE and name not in names:
            break
        names[name] = None
        older = entry
    else:
        older = older if len(looked_at) == _LOOKED_AT else None
    found = _summed(subject, names.keys() - _seen(subject, names.keys(), before))
    return Page([found[name] for name in names if name in found], older)


def agents(session: str, **subject: int) -> list[Agent]:
    """Of one session, by who began first. One query."""
    rows = _named(subject, [session]).order_by().values_list("agent", "parent_agent")
    found = [Agent(name or "", parent or "", Figures(*figures)) for name, parent, *figures in _figured(rows)]
    return sorted(found, key=lambda agent: agent.figures.began)


def _of(subject: dict[str, int]) -> QuerySet[Entry]:
    return Entry.objects.filter(session__isnull=False, **subject)


def _named(subject: dict[str, int], names: Iterable[str]) -> QuerySet[Entry]:
    """Found by their names within the tenant: of which project or person is only compared, or PostgreSQL reads the
    index of all that those have called too."""
    rows = Entry.objects.filter(session__in=sorted(names), tenant=subject["tenant_id"])
    whose = {name: value for name, value in subject.items() if name != "tenant_id"}
    compared = {f"of_{name}": F(name) + 0 for name in whose}
    return rows.alias(**compared).filter(**{f"of_{name}": value for name, value in whose.items()})


def _seen(subject: dict[str, int], names: Any, before: UUID | None) -> set[str]:
    """Those that a page before this one has shown."""
    if before is None:
        return set()
    rows = _named(subject, names).filter(id__gte=before).order_by()
    return set(rows.values_list("session", flat=True).distinct())


def _summed(subject: dict[str, int], names: set[str]) -> dict[str, Session]:
    rows = _named(subject, names).order_by().values_list("session")
    whose = {"user": Max("user_id"), "project": Max("project_id"), "agents": Count("agent", distinct=True)}
    return {
        name: Session(name, user, project, agents, Figures(*figures))
        for name, user, project, agents, *figures in _figured(rows.annotate(**whose))
    }


def _figured(rows: QuerySet[Entry, Any]) -> QuerySet[Entry, Any]:
    return rows.annotate(**{f"sum_{name}": figure for name, figure in _FIGURES.items()})
