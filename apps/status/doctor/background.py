"""What goes on beside calls: worker and beat, other processes, events that are to be sent, the books."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.conf import settings

from apps.config import schedules
from apps.events import selectors as sinks
from apps.runtime import build
from apps.status.doctor.findings import Finding, fine, problem, warning
from apps.usage import figures, processes

LATE_SECONDS = 300.0  # the beat writes down every three minutes what it has sent
OLD_EVENT_SECONDS = 300.0
DAY_SECONDS = 26 * 3600.0
FIRST_WITH_EVENTS = (0, 2)
_VERSION = re.compile(r"(\d+)\.(\d+)")


def chores() -> Iterator[Finding]:
    yield from _beat()
    yield from _worker()


def _beat() -> Iterator[Finding]:
    runs = schedules.runs()
    if not runs:
        yield problem("background", "no chore was ever sent off", "Start one beat: python -m gateway_site.beat")
        return
    newest = max(at for _, at, _ in runs)
    silent = (datetime.now(UTC) - newest).total_seconds()
    late = sorted(task.rpartition(".")[2] for task, _, seconds in runs if seconds > LATE_SECONDS)
    if silent > LATE_SECONDS:
        told = f"the beat last sent a chore off {silent / 60:.0f} minutes ago"
        yield problem("background", told, "Start one beat: python -m gateway_site.beat. No more than one.")
    elif late:
        told = f"chores that are late: {', '.join(late)}"
        yield warning("background", told, "Is there a worker, and does it get to them?")
    else:
        yield fine("background", f"the beat sends its chores off in time; sent so far: {len(runs)}")


def _worker() -> Iterator[Finding]:
    """Its most frequent chore leaves when it was done."""
    counted = figures.counted_at()
    if counted is None:
        cure = "In its first minute that is so. Later: start one, python -m gateway_site.worker"
        yield problem("background", "no worker has done a chore yet", cure)
        return
    silent = (datetime.now(UTC) - counted).total_seconds()
    if silent > LATE_SECONDS:
        told = f"a worker last did a chore {silent / 60:.0f} minutes ago"
        yield problem(
            "background", told, "Start one: python -m gateway_site.worker. Is it at the broker that is set here?"
        )
    else:
        yield fine("background", f"a worker did a chore {silent:.0f} s ago")


def replicas() -> Iterator[Finding]:
    found = processes.listed()
    live = [one for one in found if one.state == "live"]
    if not live:
        yield problem("replicas", "no gateway process lives", "Start one: python -m gateway_site.server --role gateway")
    elif len(live) > 1 and not settings.REDIS_URL:
        told = f"{len(live)} gateway processes live without a Redis: limits do not add up"
        yield problem("replicas", told, "Set REDIS_URL for all of them, or run one.")
    else:
        yield fine("replicas", f"{len(live)} gateway processes live")
    yield from side_by_side(found)
    for one in found:
        if one.state != "live":
            cure = f"If its host is gone for good: manage.py replica_lost {one.name}"
            yield warning("replicas", f"{one.name} is {one.state}", cure)


def versions(found: Iterable[processes.Listed]) -> dict[str, list[str]]:
    """The names of who lives by the version that each runs."""
    named: dict[str, list[str]] = {}
    for one in found:
        if one.state == "live" and one.version:
            named.setdefault(one.version, []).append(one.name)
    return dict(sorted(named.items()))


def side_by_side(found: Iterable[processes.Listed]) -> Iterator[Finding]:
    """Of versions that run at once, that of this process among them."""
    known = versions(found)
    if {*known} - {build.VERSION}:
        told = f"gateways run {', '.join(known)}, and this is {build.VERSION}"
        yield warning("replicas", told, "Fine while versions change; then none of the old ones should be left.")


def without_events(found: Iterable[processes.Listed]) -> list[str]:
    """Of those that live, the names of who is of a version that tells of no event, or of none that is known."""
    return [one.name for one in found if one.state == "live" and _number(one.version) < FIRST_WITH_EVENTS]


def _number(version: str) -> tuple[int, ...]:
    """Empty where it is none."""
    parts = _VERSION.match(version)
    return tuple(map(int, parts.groups())) if parts is not None else ()


def events() -> Iterator[Finding]:
    found = [lag for lag in sinks.lags() if lag.sink.is_enabled]
    if found and (old := without_events(processes.listed())):
        told = f"{', '.join(old)} are of a version before {'.'.join(map(str, FIRST_WITH_EVENTS))}, which tells of none"
        yield warning("events", told, "Replace them: no sink ever hears of the calls that they answer.")
    for lag in found:
        name = lag.sink.name
        if lag.dead:
            yield warning("events", f"{name} has refused {lag.dead} events for good", "Mend it, and send them again.")
        if lag.is_away:
            told = f"{name} takes nothing: {lag.message[:200]}"
            yield problem("events", told, "Events wait for it and are not lost; look at the sink in the admin.")
        elif lag.age > OLD_EVENT_SECONDS:
            told = f"the oldest event for {name} waits for {lag.age / 60:.0f} minutes"
            yield warning("events", told, "Does the worker run, and is one enough?")
        else:
            yield fine("events", f"{name} has had {lag.delivered} events, {lag.undelivered} are on their way")
    if not found:
        yield fine("events", "no sink is enabled, so none are written")


def books() -> Iterator[Finding]:
    checked = figures.last_checks()
    if not checked:
        yield warning("books", "they were never checked", "The worker does it every hour; now: manage.py ledger_verify")
        return
    broken = sum(one.violations for one in checked)
    age = (datetime.now(UTC) - max(one.at for one in checked)).total_seconds()
    if broken:
        yield problem(
            "books", f"{broken} promises do not hold", "manage.py ledger_verify names them and the offenders."
        )
    elif age > DAY_SECONDS:
        yield warning("books", f"they were last checked {age / 3600:.0f} hours ago", "Does the worker run?")
    else:
        yield fine("books", f"every promise held when last checked, {age / 3600:.1f} hours ago")
