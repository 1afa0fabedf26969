"""Calls, one by one: the list, and its CSV. Whoever may not see all usage sees their own."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase

from apps.audit import downloads
from apps.audit import services as audit
from apps.domain import money
from apps.portal.paging import NAME, Part, part
from apps.portal.usage_filters import CallsForm
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage import attempts, calls, costs

MOST_EXPORTED = 10_000
HEADINGS = (
    *("request", "attempt", "started_utc", "requested_model", "provider", "upstream_model", "project", "key", "user"),
    *("endpoint", "session", "outcome", "http_status", "error", "state"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("cost_usd", "cost_at_least_usd", "cost_at_most_usd", "first_token_ms", "latency_ms"),
)


@page()
def usage(visit: Visit) -> HttpResponse:
    form = CallsForm(visit.request.GET, visit=visit)
    found = form.found()
    rows = Part([], "", "", "")
    if found is not None:
        rows = part(visit.request, calls.named(found.rows), ordering=calls.ORDER, along=found.along)
    asked = visit.request.GET.copy()
    asked.pop(NAME, None)
    return visit.show(
        "portal/usage.html",
        form=form,
        part=rows,
        rows=[_row(call) for call in calls.told(rows.rows)],
        sees_all=visit.may(Right.SEE_ALL_USAGE),
        is_filtered=any(asked.values()),
        query=asked.urlencode(),
        most=MOST_EXPORTED,
    )


@page()
def export(visit: Visit) -> HttpResponseBase:
    """As CSV what the list's address shows, as far as MOST_EXPORTED. Recorded: it leaves the house."""
    form = CallsForm(visit.request.GET, visit=visit)
    found = form.found()
    if found is None:
        return visit.show("portal/usage.html", status=400, form=form, part=Part([], "", "", ""), rows=[])
    asked = {name: value for name, value in form.cleaned_data.items() if value not in (None, "")}
    audit.note_read(
        actor=visit.user, action="usage.exported", target=visit.tenant, tenant_id=visit.tenant.pk, after=asked
    )
    batches = ([_cells(call) for call in batch] for batch in calls.exported(found, most=MOST_EXPORTED))
    return downloads.csv(visit.request, f"{visit.tenant.slug}-calls", HEADINGS, batches)


def _row(call: calls.Call) -> dict[str, Any]:
    entry, total = call.entry, call.total
    return {
        "entry": entry,
        "tone": attempts.tone(entry),
        "cached_in": total.in_cache_read + total.in_cache_write_5m + total.in_cache_write_1h,
        "fresh_in": total.in_fresh,
        "out": total.out_total,
        "cost": costs.shown(total),
        "note": state(call),
    }


def state(call: calls.Call) -> str:
    """What is to be known of a cost beside its amount; "": nothing."""
    entry, total = call.entry, call.total
    if entry.cached is not None:
        return "cached"
    if entry.state == "unconfirmed":
        return "confirmed later" if call.later else "unconfirmed"
    if total.is_unpriced:
        return "unpriced"
    if call.later:
        return "repriced"
    return "estimated" if entry.usage_source == "estimated" else ""


def _cells(call: calls.Call) -> list[Any]:
    entry, total = call.entry, call.total
    names = [str(row) if row is not None else "" for row in (entry.provider, entry.project, entry.key, entry.user)]
    provider, project, key, user = names
    return [
        *(f"req_{entry.request_id.hex}", entry.attempt, f"{entry.started_at:%Y-%m-%dT%H:%M:%S.%fZ}"),
        *(entry.model_name, provider, entry.upstream_model, project, key, user, entry.endpoint, entry.session or ""),
        *(entry.status, entry.http_status, entry.error_code, state(call) or "settled"),
        *(total.in_fresh, total.in_cache_read, total.in_cache_write_5m + total.in_cache_write_1h, total.out_total),
        total.out_reasoning,
        *(money.dollars(amount) for amount in (total.cost_nano, total.low_nano, total.high_nano)),
        *(entry.ttft_ms, entry.latency_ms),
    ]
