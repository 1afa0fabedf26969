"""How the installation fares, for whoever runs it: this process and what it needs, the gateways, what is done beside
calls, and the sinks of events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from apps.config import schedules
from apps.events import selectors as sinks
from apps.quotas import replicas
from apps.runtime import build
from apps.runtime.state import state
from apps.status import checks
from apps.status.doctor import background, database
from apps.status.doctor.findings import Finding
from apps.usage import processes


def told() -> dict[str, Any]:
    """All of it. `process` and `checks` are of the process that is asked. What the database knows is empty while that
    does not answer, which a check then says."""
    report = checks.run()
    is_reached = report.passed("database")
    return {
        "status": report.status,
        "version": build.VERSION,
        "process": process() | {"started_at": datetime.fromtimestamp(state.started_at, UTC)},
        "checks": [_check(check) for check in report.checks],
        "gateways": [_gateway(one) for one in processes.listed()] if is_reached else [],
        "background": [_finding(one) for one in beside_calls()] if is_reached else [],
        "chores": [_chore(*run) for run in schedules.runs()] if is_reached else [],
        "sinks": [_sink(lag) for lag in sinks.lags()] if is_reached else [],
    }


def in_flight(found: Iterable[processes.Listed]) -> int:
    """Calls of all gateways: this process's now, others' by their last heartbeat."""
    own = replicas.name()
    return state.in_flight + sum(one.in_flight for one in found if one.state == "live" and one.name != own)


def process() -> dict[str, Any]:
    return {
        "replica": state.replica,
        "role": state.role,
        "uptime_seconds": int(state.uptime),
        "draining": state.draining,
        "in_flight": state.in_flight,
        "draining_calls": state.draining_calls,
        "snapshot_revision": state.snapshot_revision,
        "snapshot_age_seconds": state.snapshot_age,
        "journal_lag_seconds": state.journal_lag,
        "loop_lag_seconds": state.loop_lag,
        "standing_shared": state.standing_shared,
        "ports": {str(port): why or "open" for port, why in sorted(state.ports.items())},
    }


def beside_calls() -> Iterable[Finding]:
    """What the doctor finds in the database alone: beat and worker, gateways and their versions, sinks, books, and
    whether a second wall stands."""
    for look in (background.chores, background.replicas, background.events, background.books, database.second_wall):
        yield from look()


def _check(check: checks.Check) -> dict[str, Any]:
    told = {"name": check.name, "state": check.level, "milliseconds": check.milliseconds}
    return told | {"told": check.message, "cure": check.cure}


def _gateway(one: processes.Listed) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": one.state,
        "version": one.version,
        "role": one.role,
        "in_flight": one.in_flight,
        "silent_seconds": None if one.silence is None else one.silence.total_seconds(),
        "held_nano_usd": one.held,
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {"about": found.about, "state": found.level, "told": found.told, "cure": found.cure}


def _chore(task: str, last_run_at: datetime, late_seconds: float) -> dict[str, Any]:
    return {"task": task, "last_run_at": last_run_at, "late_seconds": late_seconds}


def _sink(lag: sinks.Lag) -> dict[str, Any]:
    word = "disabled" if not lag.sink.is_enabled else "problem" if lag.is_away else "ok"
    counts = {"undelivered": lag.undelivered, "dead": lag.dead, "oldest_seconds": lag.age}
    return {"name": lag.sink.name, "state": word, **counts, "told": lag.message}
