"""How the installation fares, for people: this process and what it needs, the other gateways, providers and sinks, and,
where that is asked for, what the doctor finds."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.audit import cells
from apps.catalog import selectors as catalog
from apps.events import selectors as sinks
from apps.runtime import build
from apps.runtime.state import state
from apps.status import checks, doctor
from apps.status.doctor import background
from apps.usage import processes

EXAMINE_SECONDS = 10.0
MOST = 100  # of a table
HEADS = {
    "checks": ("Check", "State", "Took", "What it says", "What to do"),
    "gateways": ("Process", "State", "Version", "Serves", "Calls in flight", "Heard of"),
    "providers": ("Provider", "State", "Checked", "Took", "What it says"),
    "sinks": ("Sink", "State", "Events", "Behind", "What it says"),
    "examined": ("About", "State", "Finding", "What to do"),
}
_TONES = {"healthy": "good", "live": "good", "ok": "good", "degraded": "warn", "warning": "warn", "silent": "warn"}
_TONES |= {"draining": "warn", "failing": "warn", "recovering": "warn", "unhealthy": "bad", "problem": "bad"}
_examining = threading.Lock()


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """POST: with the doctor's findings, which take some seconds and connections; for one who asks at a time."""
    if not request.user.is_superuser:
        raise PermissionDenied
    examined = _examined() if request.method == "POST" else None
    report = checks.run()
    context = {
        **admin.site.each_context(request),
        "title": "Health",
        "heads": HEADS,
        "status": _badge(report.status),
        "process": _process(),
        "checks": [_check(check) for check in report.checks],
        "asked_at": cells.utc(timezone.now()),
        "examined": examined,
        "is_taken": examined is None and request.method == "POST",
    }
    if report.passed("database"):
        context |= {"gateways": _gateways(), "providers": _providers(), "sinks": _sinks()}
    return TemplateResponse(request, "admin/health.html", context)


def _process() -> list[tuple[str, str]]:
    return [
        ("Process", state.replica),
        ("Serves", {"all": "calls and pages", "gateway": "calls", "control": "pages"}.get(state.role, state.role)),
        ("Version", build.VERSION),
        ("Runs since", cells.utc(datetime.fromtimestamp(state.started_at, UTC))),
        ("Calls in flight", f"{state.in_flight:,}"),
        ("Configuration", _configuration()),
        ("Journal behind", f"{state.journal_lag:.1f} s"),
        ("Event loop behind", f"{state.loop_lag * 1000:.0f} ms"),
    ]


def _configuration() -> str:
    if state.snapshot_age is None:
        return "none is needed here" if state.role == "control" else "not loaded yet"
    return f"revision {state.snapshot_revision}, {state.snapshot_age:.0f} s old"


def _check(check: checks.Check) -> list[Any]:
    took = f"{check.milliseconds:.1f} ms" if check.milliseconds else ""
    return [check.name, _badge(check.level), took, check.message, check.cure]


def _finding(found: doctor.Finding) -> list[Any]:
    return [found.about, _badge(found.level), found.told, found.cure]


def _examined() -> list[list[Any]] | None:
    """None: somebody else's examination goes on."""
    if not _examining.acquire(blocking=False):
        return None
    try:
        found = doctor.examine(seconds=EXAMINE_SECONDS)
    finally:
        _examining.release()
    order = ("problem", "warning", "ok")
    return [_finding(one) for one in sorted(found, key=lambda one: order.index(one.level))]


def _gateways() -> list[list[Any]]:
    found = processes.listed()
    has_sinks = any(lag.sink.is_enabled for lag in sinks.lags())
    old = set(background.without_events(found)) if has_sinks else set()
    return [
        [
            one.name,
            _badge(one.state),
            (one.version or "unknown") + (", which tells of no event" if one.name in old else ""),
            one.role,
            f"{one.in_flight:,}",
            "" if one.silence is None else f"{one.silence.total_seconds():.0f} s ago",
        ]
        for one in found[:MOST]
    ]


def _providers() -> list[list[Any]]:
    return [
        [
            row["name"],
            _badge(row["health"]),
            cells.ago(row["last_checked_at"], never="never"),
            "" if row["last_check_ms"] is None else f"{row['last_check_ms']:,} ms",
            row["last_check_message"],
        ]
        for row in catalog.providers_overview()[:MOST]
    ]


def _sinks() -> list[list[Any]]:
    return [
        [
            lag.sink.name,
            _badge("disabled" if not lag.sink.is_enabled else "problem" if lag.is_away else "ok"),
            f"{lag.undelivered:,} on their way, {lag.dead:,} refused",
            f"the oldest waits for {lag.age:.0f} s" if lag.undelivered else "",
            lag.message,
        ]
        for lag in sinks.lags()[:MOST]
    ]


def _badge(word: str) -> str:
    return cells.badge(word, _TONES.get(word, ""))
