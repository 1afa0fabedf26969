"""All that was tried for one call as a picture: who was asked, why, what came of it, and when in the call that was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.audit import cells
from apps.catalog.models import Deployment
from apps.domain import money
from apps.usage import costs
from apps.usage.attempts import MOST, TRIED, of_request, tone, tone_of, why
from apps.usage.models import Entry


def steps(trail: Iterable[Any]) -> str:
    """A trail, each step with its colour."""
    return cells.steps([_step(str(step)) for step in trail])


def _step(step: str) -> str:
    colour = tone_of(step)
    return format_html('<span class="weir-step weir-step-{}">{}</span>', colour, step) if colour else step


def picture(entry: Entry) -> SafeString:
    """A table of the call's entries, with a bar each from when to when in the call it was tried."""
    rows = list(of_request(entry)[:MOST])
    names = Deployment.objects.select_related("model", "provider").in_bulk({row.deployment_id for row in rows} - {None})
    whole = sum(row.latency_ms for row in rows if row.kind in TRIED)
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
        if row.kind not in TRIED:  # said of an attempt later: it asked nobody
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
