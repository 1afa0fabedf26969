"""One call: what was tried for it, what each counter cost, how long it took, and its names elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse

from apps.catalog import selectors as catalog
from apps.domain import money
from apps.policies import interventions
from apps.portal.usage import state
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage import attempts, calls, costs
from apps.usage.finding import trace_url

WIDE = 1_000  # of the drawing of times


@page()
def call(visit: Visit, entry: UUID) -> HttpResponse:
    mine = {} if visit.may(Right.SEE_ALL_USAGE) else {"user_id": visit.user.pk}
    row = calls.one(entry, tenant_id=visit.tenant.pk, **mine)
    if row is None:
        raise Http404("There is no such call.")
    told = calls.told([row])[0]
    known = _Known(visit)
    return visit.show(
        "portal/call.html",
        call=told,
        entry=row,
        tone=attempts.tone(row),
        state=state(told),
        cost=costs.shown(told.total, write=money.exact),
        lines=costs.lines(row),
        later=[{"entry": later, "amount": costs.shown(later, write=money.exact)} for later in told.later],
        tried=_tried(row, known),
        steps=[{"text": step, "tone": attempts.tone_of(step)} for step in map(known.told, row.trail)],
        times=_times(row),
        speed=_speed(row),
        credential=row.credential if row.credential in known.credentials else "",
        interventions=interventions.of_request(row.request_id, tenant_id=visit.tenant.pk),
        trace_url=trace_url(row.trace_id),
        request_name=f"req_{row.request_id.hex}",
    )


class _Known:
    """What of a trail's names is the tenant's own. Two queries."""

    def __init__(self, visit: Visit) -> None:
        self.credentials = catalog.aliases_of(visit.tenant.pk)
        self.models = frozenset(name for _, name in catalog.choices_for(visit.tenant.pk))

    def told(self, step: Any) -> str:
        return attempts.for_tenant(str(step), credentials=self.credentials, models=self.models)


def _tried(entry: Any, known: _Known) -> list[dict[str, Any]]:
    """In order, each with where in the call's time it was, in parts of WIDE."""
    rows = calls.tried(entry)
    whole = sum(row.latency_ms for row in rows) or 1
    passed, found = 0, []
    before = None
    for row in rows:
        found.append(
            {
                "entry": row,
                "is_this": row.pk == entry.pk,
                "why": known.told(attempts.why(row, before=before)),
                "tone": attempts.tone(row),
                "cost": costs.shown(row),
                "x": min(WIDE - 10, WIDE * passed // whole),
                "width": max(10, WIDE * row.latency_ms // whole),
            }
        )
        before, passed = row, passed + row.latency_ms
    return found


def _times(entry: Any) -> list[dict[str, Any]]:
    """What the time went into, one after the other; empty where there was none."""
    first = entry.ttft_ms if entry.ttft_ms is not None else entry.latency_ms
    parts = [("Waited here", entry.queue_ms, "queue"), ("Until the first token", first, "first")]
    if entry.ttft_ms is not None:
        parts.append(("The rest of the answer", max(0, entry.latency_ms - first), "rest"))
    else:
        parts[1] = ("Until the answer", first, "first")
    whole = sum(part[1] for part in parts)
    passed, found = 0, []
    for label, took, kind in parts:
        if took:
            x = WIDE * passed // whole
            found.append(
                {"label": label, "took": took, "kind": kind, "x": x, "width": WIDE * (passed + took) // whole - x}
            )
        passed += took
    return found


def _speed(entry: Any) -> int | None:
    """Tokens a second after the first one."""
    took = entry.latency_ms - (entry.ttft_ms or entry.latency_ms)
    return round(1_000 * entry.out_total / took) if entry.out_total and took > 0 else None
