"""What calls do just now, for everybody who looks: read from the ledger once a second, in each process where somebody
does. Nothing is published by whoever calls; see docs/decisions/0035.

A frame is the whole picture, so that whoever comes back after a while, or reads slowly, lacks nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from apps.catalog import answering
from apps.domain import money
from apps.runtime import standings
from apps.usage import beats as ledger
from apps.usage import refusals
from apps.usage.beats import Beats

WINDOW = 120  # seconds that are shown
OVERLAP = 5  # seconds that are read again: rows are there some tenths of a second after the moment that they say
LATEST = 20
BREAKERS_EVERY = 3.0  # seconds; whose deployments they are, as often
_SHARED_SECONDS = 2.0
_PHASES = {"open": "open", "half_open": "trying again"}


class Subject(NamedTuple):
    """Whose calls: a tenant's, one member's there, or everybody's."""

    tenant_id: int | None = None
    user_id: int | None = None

    @property
    def conditions(self) -> dict[str, int]:
        return {name: value for name, value in self._asdict().items() if value is not None}

    def holds(self, tenant_id: int, user_id: int | None) -> bool:
        """Whether a call of theirs is among them."""
        return self.tenant_id in (None, tenant_id) and self.user_id in (None, user_id)


class _Refused(NamedTuple):
    """`mark`: when somebody was last refused, and the hour that is counted."""

    mark: tuple[datetime | None, int]
    times: int
    calls: list[dict[str, Any]]


class Reader:
    """The pictures of some subjects, kept up to date by `read`, which asks the database: one query for all tenants, one
    for all members, one for everybody together and one of who was refused; then one for each subject of which something
    is new. Used by one
    thread at a time."""

    def __init__(self) -> None:
        self._beats: dict[Subject, Beats] = {}
        self._calls: dict[Subject, list[dict[str, Any]]] = {}
        self._refused: dict[Subject, _Refused] = {}
        self._breakers: dict[Subject, list[dict[str, Any]]] = {}
        self._looked = float("-inf")

    def read(self, subjects: Collection[Subject], *, now: float) -> dict[Subject, str]:
        """A frame for each. `now` in unix seconds."""
        wanted = set(subjects)
        for gone in self._beats.keys() - wanted:
            del self._beats[gone], self._calls[gone], self._refused[gone], self._breakers[gone]
        new = wanted - self._beats.keys()
        for some, seconds in ((new, WINDOW), (wanted - new, OVERLAP)):
            for subject, beats in _beats(some, since=int(now) - seconds).items():
                self._take(subject, beats, now=now)
        self._refused = _refused(wanted, known=self._refused, now=now)
        if new or time.monotonic() - self._looked >= BREAKERS_EVERY:
            self._looked = time.monotonic()
            self._breakers = breakers(wanted)
        return {subject: self._frame(subject, now=now) for subject in wanted}

    def _take(self, subject: Subject, beats: Beats, *, now: float) -> None:
        known = self._beats.get(subject)
        if known is None or any(known.get(second) != beat for second, beat in beats.items()):
            self._calls[subject] = calls(subject)
        whole = {**(known or {}), **beats}
        self._beats[subject] = {second: beat for second, beat in whole.items() if second > now - WINDOW - 1}

    def _frame(self, subject: Subject, *, now: float) -> str:
        beats = self._beats[subject]
        seconds = [[second, *beats[second]] for second in sorted(beats)]
        refused = self._refused[subject]
        young = [call for call in refused.calls if call["at"] > now - WINDOW]
        shown = sorted([*self._calls[subject], *young], key=lambda call: call["at"], reverse=True)[:LATEST]
        told = {"now": int(now), "window": WINDOW, "seconds": seconds, "calls": shown, "refused": refused.times}
        return json.dumps({**told, "breakers": self._breakers[subject]}, separators=(",", ":"))


def _beats(subjects: Collection[Subject], *, since: int) -> dict[Subject, Beats]:
    found: dict[Subject, Beats] = {subject: {} for subject in subjects}
    begin = datetime.fromtimestamp(since, UTC)
    whole = [one.tenant_id for one in subjects if one.tenant_id is not None and one.user_id is None]
    members = [
        (one.tenant_id, one.user_id) for one in subjects if one.tenant_id is not None and one.user_id is not None
    ]
    if Subject() in found:
        found[Subject()] = ledger.of_all(begin)
    if whole:
        found |= {Subject(tenant): beats for tenant, beats in ledger.of_tenants(begin, whole).items()}
    if members:
        found |= {Subject(*member): beats for member, beats in ledger.of_members(begin, members).items()}
    return found


def calls(subject: Subject) -> list[dict[str, Any]]:
    """As a page shows them. The names of others are for those who see everybody's."""
    told = []
    for entry in ledger.latest(LATEST, **subject.conditions):
        tokens_in = entry.in_fresh + entry.in_cache_read + entry.in_cache_write_5m + entry.in_cache_write_1h
        told.append(
            {
                "id": str(entry.pk),
                "at": entry.started_at.timestamp(),
                "model": entry.model_name,
                "who": str(entry.user) if entry.user is not None else "",
                "tenant": entry.tenant.name if subject.tenant_id is None else "",
                "status": entry.get_status_display(),
                "good": entry.status == "ok",
                "bad": entry.status not in ("ok", "client_gone"),
                "tokens": tokens_in + entry.out_total,
                "cost": "unpriced" if entry.is_unpriced else money.text(entry.cost_nano),
                "first": entry.ttft_ms,
                "total": entry.latency_ms,
            }
        )
    return told


def _refused(
    subjects: Collection[Subject], *, known: Mapping[Subject, _Refused], now: float
) -> dict[Subject, _Refused]:
    """One query; two more for each subject of whom somebody was refused since it was looked at, or that is new."""
    moment = datetime.fromtimestamp(now, UTC)
    tenants = None if Subject() in subjects else {one.tenant_id for one in subjects if one.tenant_id is not None}
    newest = refusals.newest_of(moment - timedelta(seconds=WINDOW), tenants) if subjects else {}
    found = {}
    for subject in subjects:
        ats = [at for (tenant, user), at in newest.items() if subject.holds(tenant, user)]
        mark = (max(ats, default=None), moment.hour)
        before = known.get(subject)
        if before is None or before.mark != mark:
            before = _Refused(mark, refusals.count(moment, **subject.conditions), _turned_away(subject, moment))
        found[subject] = before
    return found


def _turned_away(subject: Subject, moment: datetime) -> list[dict[str, Any]]:
    """As a page shows them among calls. What is another tenant's is in no subject but everybody's."""
    since = moment - timedelta(seconds=WINDOW)
    return [
        {
            "id": "",
            "at": call.at.timestamp(),
            "model": call.model_name or "—",
            "who": str(call.user) if call.user is not None else "",
            "tenant": call.tenant.name if subject.tenant_id is None else "",
            "status": call.get_reason_display(),
            "refused": True,
        }
        for call in refusals.latest(LATEST, since=since, **subject.conditions)
    ]


def breakers(subjects: Collection[Subject]) -> dict[Subject, list[dict[str, Any]]]:
    """Those that are not closed, of the deployments that may answer each subject."""
    rows = [row for row in standings.by_deployment().values() if row.breaker in _PHASES]
    ways: dict[int | None, Mapping[int, tuple[str, str]]] = {}
    found: dict[Subject, list[dict[str, Any]]] = {}
    for subject in subjects:
        if rows and subject.tenant_id not in ways:
            ways[subject.tenant_id] = answering.ways_of(subject.tenant_id)
        found[subject] = [
            {
                "model": ways[subject.tenant_id][row.deployment][0],
                "provider": ways[subject.tenant_id][row.deployment][1],
                "state": _PHASES[row.breaker],
                "reason": row.reason,
                "until": row.until,
            }
            for row in rows
            if row.deployment in ways[subject.tenant_id]
        ]
    return found


_shared: dict[Subject, tuple[float, str]] = {}
_sharing = threading.Lock()


def frame(subject: Subject) -> str:
    """For who asks now and then: one that is at most two seconds old. Bounded queries, whoever asks how often."""
    with _sharing:
        at, known = _shared.get(subject, (float("-inf"), ""))
        if time.monotonic() - at < _SHARED_SECONDS:
            return known
        for old in [key for key, (then, _) in _shared.items() if time.monotonic() - then >= _SHARED_SECONDS]:
            del _shared[old]
        made = Reader().read([subject], now=time.time())[subject]
        _shared[subject] = (time.monotonic(), made)
        return made
