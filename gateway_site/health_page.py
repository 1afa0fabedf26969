"""How the installation fares, for people: this process and what it needs, what is done beside calls, the other
gateways, providers and sinks, and, where that is asked for, what the doctor finds."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.audit import cells
from apps.catalog import selectors as catalog
from apps.events import selectors as sinks
from apps.runtime import build, gateways
from apps.runtime.state import state
from apps.status import checks, doctor
from apps.status.doctor import background
from apps.usage import processes

EXAMINE_SECONDS = 10.0
MOST = 100  # of a table
_TONES = {"up": "good", "live": "good", "ok": "good", "healthy": "good", "degraded": "warn", "warning": "warn"}
_TONES |= {"silent": "warn", "draining": "warn", "failing": "warn", "recovering": "warn", "not checked lately": "warn"}
_TONES |= {"down": "bad", "unhealthy": "bad", "problem": "bad", "written off": "bad", "departed": "bad"}
_TROUBLES = frozenset({"warn", "bad"})
_HEALTH = {"healthy": "up", "unhealthy": "down", "unknown": "not checked yet"}
_examining = threading.Lock()


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """POST: with the doctor's findings, which take some seconds and connections; for one who asks at a time."""
    if not request.user.is_superuser:
        raise PermissionDenied
    examined = _examined() if request.method == "POST" else None
    report = checks.run()
    tables = [_checks(report)]
    if report.passed("database"):
        tables += [_beside_calls(), _gateways(), _providers(), _sinks()]
    context = {
        **admin.site.each_context(request),
        "title": "Health",
        "status": _badge(report.status),
        "about": _about(),
        "figures": _figures(is_reached=report.passed("database")),
        "tables": tables,
        "troubled": [table for table in tables if table.troubles],
        "asked_at": cells.utc(timezone.now()),
        "examined": examined,
        "is_taken": examined is None and request.method == "POST",
    }
    return TemplateResponse(request, "admin/health.html", context)


class Table(NamedTuple):
    """`rows`: of each the heading and the cell, without columns that are empty in all of them. `step`: what to do where
    there is no row, as an address and its words."""

    key: str
    title: str
    rows: list[list[tuple[str, Any]]]
    troubles: int
    none: str
    step: tuple[str, str] | None


def _table(
    key: str, title: str, heads: tuple[str, ...], rows: list[list[Any]], *, none: str = "", step: Any = None
) -> Table:
    """The second cell of a row is its state, in a word."""
    troubles = sum(_TONES.get(row[1]) in _TROUBLES for row in rows)
    shown = [[row[0], _badge(row[1]), *row[2:]] for row in rows]
    wanted = [place for place in range(len(heads)) if any(row[place] for row in shown)]
    named = [[(heads[place], row[place]) for place in wanted] for row in shown]
    return Table(key, title, named, troubles, none, step)


def _about() -> str:
    serves = {"all": "calls and pages", "gateway": "calls", "control": "pages"}.get(state.role, state.role)
    begun = cells.utc(datetime.fromtimestamp(state.started_at, UTC))
    return f"{state.replica}, version {build.VERSION}, serves {serves} since {begun}."


def _figures(*, is_reached: bool) -> list[tuple[str, str, str]]:
    """A name, a figure, and what it means."""
    return [
        _in_flight(is_reached=is_reached),
        ("Configuration", *_configuration()),
        ("Journal", f"{state.journal_lag:.1f} s", "what is settled waits so long for the ledger"),
        ("Event loop", f"{state.loop_lag * 1000:.0f} ms", "what is due begins so late"),
    ]


def _in_flight(*, is_reached: bool) -> tuple[str, str, str]:
    if is_reached:
        return "Calls in flight", f"{gateways.in_flight():,}", "answered by all gateways, as they last said"
    return "Calls in flight", f"{state.in_flight:,}", "answered by this process now"


def _configuration() -> tuple[str, str]:
    if state.snapshot_age is None or state.snapshot_revision is None:
        return "–", "none is needed here" if state.role == "control" else "not loaded yet"
    return f"no. {state.snapshot_revision:,}", f"compared with the database {state.snapshot_age:.0f} s ago"


def _checks(report: checks.Report) -> Table:
    rows = [
        [one.name, one.level, f"{one.milliseconds:.1f} ms" if one.milliseconds else "", one.message, one.cure]
        for one in report.checks
    ]
    return _table("checks", "What this process needs", ("Check", "State", "Took", "What it says", "What to do"), rows)


def _beside_calls() -> Table:
    return _found("beside", "Beside calls: chores and books", [*background.chores(), *background.books()])


def _found(key: str, title: str, found: Iterable[doctor.Finding]) -> Table:
    rows = [[one.about, one.level, one.told, one.cure] for one in found]
    return _table(key, title, ("About", "State", "Finding", "What to do"), rows)


def _examined() -> Table | None:
    """None: somebody else's examination goes on."""
    if not _examining.acquire(blocking=False):
        return None
    try:
        found = doctor.examine(seconds=EXAMINE_SECONDS)
    finally:
        _examining.release()
    order = ("problem", "warning", "ok")
    return _found("findings", "What the doctor finds", sorted(found, key=lambda one: order.index(one.level)))


def _gateways() -> Table:
    found = processes.listed()
    has_sinks = any(lag.sink.is_enabled for lag in sinks.lags())
    old = set(background.without_events(found)) if has_sinks else set()
    rows = [
        [
            one.name,
            one.state,
            (one.version or "unknown") + (", which tells of no event" if one.name in old else ""),
            one.role,
            f"{one.in_flight:,}",
            "" if one.silence is None else f"{one.silence.total_seconds():.0f} s ago",
        ]
        for one in found[:MOST]
    ]
    heads = ("Process", "State", "Version", "Serves", "Calls in flight", "Heard of")
    return _table("gateways", "Gateways", heads, rows, none="No gateway process lives.")


def _providers() -> Table:
    rows = [
        [
            row["name"],
            "not checked lately" if row["overdue"] else _HEALTH.get(row["health"], row["health"]),
            cells.ago(row["last_checked_at"], never="never"),
            "" if row["last_check_ms"] is None else f"{row['last_check_ms']:,} ms",
            row["last_check_message"],
        ]
        for row in catalog.providers_overview()[:MOST]
    ]
    heads = ("Provider", "State", "Checked", "Took", "What it says")
    step = (reverse("admin:catalog_provider_add"), "Add a provider")
    return _table("providers", "Providers", heads, rows, none="Nothing can be called yet.", step=step)


def _sinks() -> Table:
    rows = [
        [
            cells.link(reverse("admin:events_sink_change", args=[lag.sink.pk]), lag.sink.name),
            _state_of(lag),
            f"{lag.undelivered:,}" + (f", the oldest from {_before(lag.age)}" if lag.undelivered else ""),
            f"{lag.dead:,}",
            lag.message,
        ]
        for lag in sinks.lags()[:MOST]
    ]
    heads = ("Sink", "State", "On their way", "Dead letters", "What it was told last")
    step = (reverse("admin:events_sink_add"), "Add a sink")
    return _table("sinks", "Event sinks", heads, rows, none="No other system is told of events.", step=step)


def _before(seconds: float) -> str:
    return cells.since(timezone.now() - timedelta(seconds=seconds))


def _state_of(lag: sinks.Lag) -> str:
    return "disabled" if not lag.sink.is_enabled else "problem" if lag.is_away else "warning" if lag.dead else "ok"


def _badge(word: str) -> str:
    return cells.badge(word, _TONES.get(word, ""))
