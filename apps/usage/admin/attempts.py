"""All that was tried for one call, in order: who was asked, why, what came of it, and when in the call that was.

What the router did stands in a row's trail, a step a line; the first word of a step says what kind it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.audit import cells
from apps.catalog.models import Deployment
from apps.domain import ids, money
from apps.usage.admin import costs
from apps.usage.models import Entry, Kind

TONES = {
    "ok": "good",
    "client_gone": "info",
    "client_error": "warn",
    "refused": "warn",
    "upstream_error": "bad",
    "upstream_broken": "bad",
    "timeout": "bad",
    "gateway_error": "bad",
    "interrupted": "bad",
}
CHOSE = "chose "
# By how a step begins. What a translation did, and whatever nobody has named here, is told without a colour.
STEPS = {
    CHOSE: "good",
    "skipped ": "warn",
    "credential ": "bad",
    "breaker ": "bad",
    "waited ": "info",
    "hedged ": "info",
    "lost to ": "info",
    "not hedged": "warn",
    "found": "warn",
    "nobody else ": "bad",
    "cache hit": "info",
}
MOST = 50
_TRIED = (Kind.POST, Kind.UNCONFIRMED)


def of_request(entry: Entry) -> Any:
    """The entries of its call: by attempt, what was said first before what was said of it later."""
    rows = Entry.objects.filter(id__range=ids.entries_of(entry.request_id), request_id=entry.request_id)
    return rows.order_by("id")


def tone(entry: Entry) -> str:
    return TONES.get(entry.status, "")


def steps(trail: Iterable[Any]) -> str:
    """A trail, each step with its colour."""
    return cells.steps([_step(str(step)) for step in trail])


def tone_of(step: str) -> str:
    return next((colour for begins, colour in STEPS.items() if step.startswith(begins)), "")


def _step(step: str) -> str:
    colour = tone_of(step)
    return format_html('<span class="weir-step weir-step-{}">{}</span>', colour, step) if colour else step


def picture(entry: Entry) -> SafeString:
    """A table of the call's entries, with a bar each from when to when in the call it was tried."""
    rows = list(of_request(entry)[:MOST])
    names = Deployment.objects.select_related("model", "provider").in_bulk({row.deployment_id for row in rows} - {None})
    whole = sum(row.latency_ms for row in rows if row.kind in _TRIED)
    headings = ("Attempt", "Asked", "Why", "Outcome", "Cost", "Time")
    return format_html(
        '<div class="weir-scroll">{}</div>',
        cells.table(headings, list(_rows(rows, entry=entry, names=names, whole=whole))),
    )


def _rows(rows: list[Entry], *, entry: Entry, names: dict[Any, Deployment], whole: int) -> Iterator[tuple[Any, ...]]:
    before: Entry | None = None
    passed = 0
    for row in rows:
        number = "this one" if row.pk == entry.pk else cells.link(page(row), row.get_kind_display())
        cost = cells.amount(costs.shown(row, write=money.exact))
        if row.kind not in _TRIED:  # said of an attempt later: it asked nobody
            yield row.attempt, cells.lines([number]), "", "", "", cost, ""
            continue
        asked = names.get(row.deployment_id)
        yield (
            cells.lines([f"{row.attempt}", number]),
            cells.NOTHING if asked is None else _asked(asked),
            why(row, before=before),
            cells.badge(str(row.get_status_display()), tone(row)),
            cost,
            _bar(passed, row.latency_ms, whole=whole, colour=tone(row)),
        )
        before, passed = row, passed + row.latency_ms


def page(entry: Entry) -> str:
    return reverse("admin:usage_entry_change", args=[entry.pk])


def why(row: Entry, *, before: Entry | None) -> str:
    """In the router's words where it has left some, else by what came before it."""
    chosen = next((str(step) for step in row.trail if str(step).startswith(CHOSE)), "")
    if chosen:
        return chosen.partition(": ")[2] or chosen
    if before is None:
        return cells.NOTHING
    told = f"HTTP {before.http_status}" if before.http_status else before.error_code or before.get_status_display()
    return f"after {told}"


def _asked(deployment: Deployment) -> SafeString:
    return cells.link(reverse("admin:catalog_deployment_change", args=[deployment.pk]), deployment)


def _bar(since: int, took: int, *, whole: int, colour: str) -> SafeString:
    """Where in the call's time it was, as per cent of it; even the shortest can be seen."""
    left = 100 * since // whole if whole else 0
    width = max(1, 100 * took // whole if whole else 0)
    return format_html(
        '<span class="weir-meter"><svg class="weir-bar weir-bar-{}" viewBox="0 0 100 8" preserveAspectRatio="none"'
        ' role="img" aria-label="from {} ms for {} ms"><rect x="{}" width="{}" height="8"/></svg>'
        "<span>{}</span></span>",
        colour or "plain",
        since,
        took,
        min(left, 99),
        width,
        f"{took:,} ms",
    )
