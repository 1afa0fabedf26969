"""Spring's words for how a process fares, with the components that monitors of such services look for."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from apps.catalog import selectors as catalog
from apps.events import selectors as sinks
from apps.runtime import standings
from apps.status.checks import Report

log = structlog.get_logger(__name__)

FRESH_SECONDS = 15.0
_NAMES = {"database": "db", "storage": "diskSpace"}
_MB = 1 << 20
_seen: tuple[float, dict[str, dict[str, Any]]] = (float("-inf"), {})

Component = dict[str, Any]


def told(report: Report, beside: dict[str, Component], *, tells_all: bool) -> dict[str, Any]:
    """`beside`: of `components`. Details are for operators only. What is beside the process does not bring it down."""
    parts: dict[str, Component] = {"ping": {"status": "UP"}, "livenessState": {"status": "UP"}}
    parts["readinessState"] = {"status": "UP" if report.ready else "OUT_OF_SERVICE"}
    for check in report.checks:
        details = {"message": check.message, "milliseconds": check.milliseconds}
        parts[_NAMES.get(check.name, check.name)] = {"status": "UP" if check.ok else "DOWN", "details": details}
    for name, part in beside.items():
        known = parts.get(name, {})
        parts[name] = {"status": known.get("status", part["status"]), "details": part.get("details", {})}
    if not tells_all:
        parts = {name: {"status": part["status"]} for name, part in parts.items()}
    return {"status": "UP" if report.ready else "DOWN", "components": parts, "groups": ["liveness", "readiness"]}


def components() -> dict[str, Component]:
    """Asks database and Redis, no more often than once in FRESH_SECONDS, and tells nothing of what does not answer."""
    global _seen
    if time.monotonic() - _seen[0] > FRESH_SECONDS:
        found: dict[str, Component] = {}
        for name, ask in _ASKED.items():
            try:
                found[name] = ask()
            except Exception:  # whatever a driver raises, nobody knows
                log.warning("health.component_unknown", target=name, exc_info=True)
                found[name] = {"status": "UNKNOWN"}
        _seen = time.monotonic(), found
    return _seen[1]


def _breakers() -> Component:
    """Of all deployments together: open only where nobody is left to be asked."""
    phases = Counter(one.breaker for one in standings.by_deployment().values())
    is_open = bool(phases["open"]) and phases["open"] == phases.total()
    state = "OPEN" if is_open else "HALF_OPEN" if phases["open"] or phases["half_open"] else "CLOSED"
    counts = {"deployments": phases.total(), "open": phases["open"], "halfOpen": phases["half_open"]}
    return {"status": "DOWN" if is_open else "UP", "details": {"state": state, **counts}}


def _credentials() -> Component:
    """With which providers can be asked."""
    count = sum(row["credentials"] for row in catalog.providers_overview() if row["enabled"])
    return {"status": "UP" if count else "DOWN", "details": {"count": count}}


def _events() -> Component:
    found = [lag for lag in sinks.lags() if lag.sink.is_enabled]
    away = sum(lag.is_away for lag in found)
    waiting = sum(lag.undelivered for lag in found)
    age = round(max((lag.age for lag in found), default=0.0), 1)
    details = {"sinks": len(found), "away": away, "undelivered": waiting, "oldestSeconds": age}
    return {"status": "DOWN" if away else "UP", "details": details}


def _disk() -> Component:
    folder = Path(settings.WEIR_JOURNAL_DIR)
    usage = shutil.disk_usage(folder if folder.is_dir() else settings.VAR_DIR)
    threshold = 2 * settings.WEIR_BALLAST_MB * _MB
    details = {"total": usage.total, "free": usage.free, "threshold": threshold, "path": str(folder)}
    return {"status": "UP" if usage.free >= threshold else "DOWN", "details": details}


_ASKED = {"circuitBreaker": _breakers, "apiKeys": _credentials, "pubsub": _events, "diskSpace": _disk}
