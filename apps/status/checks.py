"""Whether this process can do its work, and what it needs for that.

A process that has a fresh configuration serves, even while the database is away: leases and keys in memory carry it
(that is why a lost database only degrades it). Without one, or with one older than STALE_SECONDS, it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec
from django.conf import settings
from django.db import connection

from apps.runtime import standings
from apps.runtime.redact import redact
from apps.runtime.state import state

STALE_SECONDS = 600.0
PULSE_SECONDS = 60.0
STUCK_SECONDS = 900.0  # longer than a task may take, which holds up a worker of one process
BROKER_SECONDS = 1.5

Status = Literal["healthy", "degraded", "draining", "unhealthy"]
Level = Literal["ok", "warning", "problem"]

_CURES = {
    "configuration": "It reads the configuration every second: the check of the database, or its log, tells why not.",
    "storage": "Make room on the disk of WEIR_JOURNAL_DIR; calls are taken again by themselves.",
    "journals": "manage.py journals, on this host, lists them and says what to do.",
    "ports": "Another program listens there, or the address is not this machine's: see the pinned endpoint.",
    "database": "Calls go on with what is in memory; start the database again, or see its log.",
    "redis": "Limits are counted by each process alone meanwhile; start it again, or see its log.",
}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """`vital`: without it nothing can be served. `message` is for operators only."""

    name: str
    ok: bool
    vital: bool = False
    milliseconds: float = 0.0
    message: str = ""

    @property
    def level(self) -> Level:
        return "ok" if self.ok else "problem" if self.vital else "warning"

    @property
    def cure(self) -> str:
        """What to do; empty where all is well."""
        return "" if self.ok else _CURES.get(self.name, "")


class Report(msgspec.Struct, frozen=True):
    checks: tuple[Check, ...]
    draining: bool = False

    @property
    def status(self) -> Status:
        if any(check.vital and not check.ok for check in self.checks):
            return "unhealthy"
        if self.draining:
            return "draining"
        return "healthy" if all(check.ok for check in self.checks) else "degraded"

    def passed(self, name: str) -> bool:
        return any(check.ok for check in self.checks if check.name == name)

    @property
    def ready(self) -> bool:
        return self.status in ("healthy", "degraded")


def run() -> Report:
    """Every check that this process's role asks for, in the caller's thread: a statement on the database, a round trip
    to Redis where there is one."""
    checks = [*of_the_process(), database(vital=not _takes_calls())]
    if settings.REDIS_URL:
        checks.append(redis_server())
    if state.role in ("worker", "beat"):
        checks.append(broker())
    return Report(tuple(checks), draining=state.draining)


def of_the_process() -> list[Check]:
    """Those for which nobody is asked."""
    if state.role in ("worker", "beat"):
        return [pulse()]
    return [configuration(), storage(), journals(), ports()] if _takes_calls() else []


def hung() -> Report:
    """While a store says nothing."""
    silent = Check(name="database", ok=False, vital=not _takes_calls(), message="no answer in time")
    return Report((*of_the_process(), silent), draining=state.draining)


def is_stuck() -> bool:
    """Whether a worker or beat has stopped in the middle of something, so that only an end helps. While the broker is
    away, and for as long after that, each waits for it as a new one would."""
    if state.role not in ("worker", "beat"):
        return False
    since_away = time.monotonic() - state.broker_away_at if state.broker_away_at is not None else STUCK_SECONDS + 1
    return min(_silence(), since_away) > STUCK_SECONDS


def pulse() -> Check:
    """Whether a worker takes tasks, and the beat sends them off."""
    is_worker, silence = state.role == "worker", _silence()
    message = f"its loop last came round {silence:.0f} s ago" if silence > PULSE_SECONDS else ""
    if is_worker and not state.consuming:
        message = "not connected to the broker"
    return Check(name="consumer" if is_worker else "schedule", ok=not message, vital=True, message=message)


def _silence() -> float:
    return state.uptime if state.pulse_at is None else time.monotonic() - state.pulse_at


def _takes_calls() -> bool:
    return state.role in ("all", "gateway")


def configuration() -> Check:
    age = state.snapshot_age
    if age is None:
        return Check(name="configuration", ok=False, vital=True, message="not loaded yet")
    fresh = age <= STALE_SECONDS
    return Check(name="configuration", ok=fresh, vital=True, message="" if fresh else f"{age:.0f} s old")


def storage() -> Check:
    """Of this process's journal: other replicas may lie on other disks, so this one is not for new calls."""
    full = state.storage_full
    return Check(name="storage", ok=not full, vital=True, message="the disk is full" if full else "")


def journals() -> Check:
    """What the ledger lacks though its process is gone; `manage.py journals` says which."""
    orphaned, refused = state.journals_orphaned, state.outcomes_refused
    message = f"{orphaned} orphaned, {refused} outcomes refused" if orphaned or refused else ""
    return Check(name="journals", ok=not message, message=message)


def ports() -> Check:
    """Of pinned endpoints: one that cannot be opened leaves the others, and all other ways, as they are."""
    shut = [f"{port}: {why}" for port, why in sorted(state.ports.items()) if why]
    return Check(name="ports", ok=not shut, message=f"port {', '.join(shut)}" if shut else "")


def database(*, vital: bool = False) -> Check:
    """No page can be shown without it; calls go on."""
    return msgspec.structs.replace(_timed("database", _ask_database), vital=vital)


def redis_server() -> Check:
    return _timed("redis", lambda: standings.client(settings.REDIS_URL).ping())


def broker() -> Check:
    """Vital to those who live of it."""
    found = _timed("broker", _ask_broker)
    if not found.ok:
        state.broker_away_at = time.monotonic()
    return msgspec.structs.replace(found, vital=state.role in ("worker", "beat"))


def _ask_broker() -> None:
    from celery import current_app  # kombu and all: what a process for calls never asks

    waits = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, **(waits if _is_redis() else {})}
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
        connection.default_channel  # noqa: B018  # where a transport is virtual, it is this that asks


def _is_redis() -> bool:
    return str(settings.CELERY_BROKER_URL).startswith(("redis", "rediss"))


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _timed(name: str, ask: Callable[[], object]) -> Check:
    started = time.perf_counter()
    try:
        ask()
    except Exception as error:  # whatever a driver raises, the answer is no
        message = redact(f"{type(error).__name__}: {error}")[:300]
        return Check(name=name, ok=False, milliseconds=_since(started), message=message)
    return Check(name=name, ok=True, milliseconds=_since(started))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
