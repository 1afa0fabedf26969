"""What was spent, on what, and what is to come: for a tenant, or for whoever may not see all usage of themselves alone.
Whoever is over budget sees it too."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone

from apps.audit import downloads
from apps.audit import services as audit
from apps.domain import money
from apps.portal.costs_filters import CHOSEN, GROUPS, NONE, CostsForm
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage.reports import breakdowns, forecasts, spans, tables
from apps.usage.reports.breakdowns import Breakdown, Slice
from apps.usage.reports.labels import labels
from apps.usage.reports.sources import Amounts, Question, Standing, standing
from apps.usage.reports.spans import Span

# Beside the table that was asked for: the dearest of these, as far as nothing has chosen one of them already.
BESIDE = ("model", "key", "user", "project")
TABLES_BESIDE, ROWS_BESIDE = 2, 5
MOST_PERCENT = 999
# Later than that, somebody should know why.
OLD = timedelta(minutes=30)
# What the list of calls can be filtered by.
LISTED = frozenset({"key", "project", "user", "model", "provider", "endpoint"})


@page()
def costs(visit: Visit) -> HttpResponse:
    now = timezone.now()
    form = CostsForm(visit.request.GET, visit=visit, now=now)
    context = {"form": form, "zone": form.zone, "sees_all": visit.may(Right.SEE_ALL_USAGE)}
    if not form.is_valid():
        return visit.show("portal/costs.html", **context)
    question, span = form.question, form.time
    known = standing(question.scope, now)
    found = _found(form, known, now)
    here = _Address(visit, form, span)
    context |= {
        "span": span,
        "before": (before := spans.before(span, now)),
        "before_until": "" if before.ends == span.starts else f"{before.ends.astimezone(span.place):%H:%M}",
        "group": GROUPS[found.dimension or ""],
        "total": _row(found.total, here),
        "rows": [_row(one, here, found.dimension, rank) for rank, one in enumerate(found.slices)],
        "other": None if found.other is None else _row(found.other, here),
        "others": found.others,
        "is_empty": found.is_empty,
        "chips": here.chips(is_known=not found.is_empty),
        "chart": json.dumps(_chart(found, span, here)),
        "buckets": _buckets(found, span),
        "query": here.query(),
        "as_of": known.as_of,
        "is_old": now - known.as_of > OLD,
        "calls_url": here.calls(),
        "not_final_urls": {name: here.calls(status=name) for name in ("unconfirmed", "unpriced", "errors")},
    }
    if not found.is_empty:
        context |= {"beside": _beside(form, known, here), **_ahead(question, known, now)}
    return visit.show("portal/costs.html", **context)


@page()
def export(visit: Visit) -> HttpResponseBase:
    """As CSV what the page of the same address shows: its table, or with `table=time` that of its bars. Recorded."""
    now = timezone.now()
    form = CostsForm(visit.request.GET, visit=visit, now=now)
    if not form.is_valid():
        return visit.show("portal/costs.html", status=400, form=form, zone=form.zone)
    found = _found(form, standing(form.question.scope, now), now)
    by_time = visit.request.GET.get("table") == "time"
    headings, rows = tables.of_buckets(found, form.time) if by_time else tables.of_slices(found)
    asked = {name: str(value) for name, value in form.cleaned_data.items() if value and name != "span_of_days"}
    audit.note_read(actor=visit.user, action="costs.exported", target=visit.tenant, after=asked)
    name = f"{visit.tenant.slug}-costs-{form.time.first}-{form.time.last}"
    return downloads.csv(visit.request, name, [downloads.cell(heading) for heading in headings], tables.batches(rows))


def _found(form: CostsForm, known: Standing, now: datetime) -> Breakdown:
    return breakdowns.break_down(form.question, form.time, known, dimension=form.cleaned_data["by"], compared=now)


class _Address:
    """Of this page and of the list of calls, each with what is asked here and something else."""

    def __init__(self, visit: Visit, form: CostsForm, span: Span) -> None:
        self._visit, self._span = visit, span
        self._where = {name: NONE if value is None else str(value) for name, value in form.where.items()}
        self._asked = {"span": span.name, "by": form.cleaned_data["by"]}
        if span.name == spans.CUSTOM:
            self._asked |= {"from": f"{span.first}", "to": f"{span.last}"}

    def query(self, **more: str) -> str:
        return urlencode({**self._asked, **self._where, **more})

    def narrowed(self, dimension: str, value: Any) -> str:
        return f"?{self.query(**{dimension: NONE if value is None else str(value)})}"

    def calls(self, starts: datetime | None = None, ends: datetime | None = None, **more: str) -> str:
        """As far as the list of calls can be asked for it: of what has no key it cannot."""
        place = self._span.place
        moments = {"from": starts or self._span.starts, "to": ends or self._span.ends}
        told = {name: f"{moment.astimezone(place):%Y-%m-%dT%H:%M}" for name, moment in moments.items()}
        where = {name: value for name, value in {**self._where, **more}.items() if value != NONE}
        listed = {name: value for name, value in where.items() if name in LISTED or name == "status"}
        return f"{self._visit.url('usage')}?{urlencode({'span': 'other', **told, **listed})}"

    def chips(self, *, is_known: bool) -> list[dict[str, str]]:
        """What was clicked at, to be taken back. By its name where there is usage of it here, so that nobody learns the
        names of others'."""
        shown = []
        for name, told in self._where.items():
            if name not in CHOSEN:
                value = None if told == NONE else told if name == "endpoint" else int(told)
                label = labels(name, [value])[0] if is_known else f"{GROUPS[name].lower()} {told}"
                left = {other: value for other, value in self._where.items() if other != name}
                shown.append({"label": f"{GROUPS[name]}: {label}", "url": f"?{urlencode({**self._asked, **left})}"})
        return shown


def _row(one: Slice, here: _Address, dimension: str | None = None, rank: int = 0) -> dict[str, Any]:
    """With a dimension, what leads to more of the same."""
    before = one.before.cost_nano if one.before is not None else None
    row: dict[str, Any] = {
        "slice": one,
        "amounts": one.amounts,
        "before": before,
        "change": (change := tables.change(one.amounts.cost_nano, before)),
        "change_text": ""
        if change is None
        else f"{change:+} %"
        if change <= MOST_PERCENT
        else f"over +{MOST_PERCENT} %",
        "colour": rank + 1,
        "marks": _marks(one.amounts),
        "tokens_in": one.amounts.tokens - one.amounts.out_total,
        "error_percent": round(100 * one.amounts.errors / one.amounts.calls, 1) if one.amounts.calls else None,
    }
    if dimension is not None:
        row["narrow"] = here.narrowed(dimension, one.value)
        if dimension in LISTED and one.value is not None:
            row["calls"] = here.calls(**{dimension: str(one.value)})
    return row


def _marks(amounts: Amounts) -> list[str]:
    """What keeps the figures from being final or whole."""
    counts = {"unconfirmed": amounts.unconfirmed, "estimated": amounts.estimated, "unpriced": amounts.unpriced}
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def _chart(found: Breakdown, span: Span, here: _Address) -> dict[str, Any]:
    """What the script draws: dollars by bucket, and where a click on a bar leads."""
    series = []
    for rank, one in enumerate(tables.parts(found)):
        is_other = one is found.other
        subject = {} if is_other or found.dimension not in LISTED or one.value is None else {found.dimension: one.value}
        colour = "other" if is_other else rank + 1
        points = [float(money.dollars(point)) for point in one.points]
        series.append({"label": one.label, "colour": colour, "points": points, "query": urlencode(subject)})
    urls = [here.calls(mark, span.ends_of(number)) for number, mark in enumerate(span.marks)]
    return {"labels": _short_labels(span), "series": series, "urls": urls}


def _short_labels(span: Span) -> list[str]:
    shape = "%-d %b" if span.step == "day" else "%H:%M"
    return [f"{mark.astimezone(span.place):{shape}}" for mark in span.marks]


def _buckets(found: Breakdown, span: Span) -> dict[str, Any]:
    parts = tables.parts(found, with_total=True)
    labelled = zip(tables.bucket_labels(span), range(len(span.marks)), strict=True)
    rows = [{"label": label, "costs": [one.points[number] for one in parts]} for label, number in labelled]
    return {"headings": [one.label for one in parts], "rows": rows}


def _beside(form: CostsForm, known: Standing, here: _Address) -> list[dict[str, Any]]:
    """The dearest of other dimensions. Three queries each."""
    taken = {form.cleaned_data["by"], *form.where}
    names = [name for name in BESIDE if name in form.groups and name not in taken][:TABLES_BESIDE]
    shown = []
    for name in names:
        found = breakdowns.break_down(form.question, form.time, known, dimension=name, top=ROWS_BESIDE, is_whole=False)
        rows = [_row(one, here, name, rank) for rank, one in enumerate(found.slices)]
        shown.append({"group": GROUPS[name], "rows": rows, "others": found.others, "url": f"?{here.query(by=name)}"})
    return shown


def _ahead(question: Question, known: Standing, now: datetime) -> dict[str, Any]:
    """The month's forecast, and how the budget that most is gone of is used up. Four queries."""
    found: dict[str, Any] = {"month": forecasts.month(question, known, now), "method": forecasts.METHOD}
    for window, subject in forecasts.nearest(question.scope, now, 1):
        burn = forecasts.burn(window, subject, question.scope, known, now)
        found |= {"burn": burn, "burn_chart": json.dumps(_burn_chart(burn))}
    return found


def _burn_chart(burn: forecasts.Burn) -> dict[str, Any]:
    def line(points: list[tuple[datetime, int]]) -> list[dict[str, float]]:
        return [{"x": moment.timestamp() * 1000, "y": float(money.dollars(left))} for moment, left in points]

    return {
        "left": line(burn.left),
        "ahead": line(burn.ahead),
        "starts": burn.starts.timestamp() * 1000,
        "ends": burn.ends.timestamp() * 1000,
        "limit": float(money.dollars(burn.limit)),
    }
