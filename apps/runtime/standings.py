"""How deployments fare, by the word of every process that asks them: through Redis; without one, or while it is away,
what processes say of breakers with their heartbeats, and what this process knows itself."""

from __future__ import annotations

import time
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import msgspec
from django.conf import settings
from django.db import DatabaseError

from apps.runtime import walls
from apps.runtime.state import DeploymentStanding, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis import Redis

KEY = "weir:{standing}"
ROWS = "r:"  # before a replica's name: what it knows of its deployments
_SECONDS = 0.5
_WORST = ("open", "half_open", "closed")
_MOST_SAID = 500
_rows = msgspec.json.Decoder(list[DeploymentStanding])
_others: Callable[[], Iterable[str]] = tuple


@lru_cache(maxsize=1)
def client(url: str) -> Redis:
    """For those who may wait: half a second, no longer."""
    from redis import Redis  # 15 MB that a process without a Redis need not hold

    return Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)


def by_deployment() -> dict[int, DeploymentStanding]:
    """Of those that anybody has asked of late; where Redis does not tell, of other processes only breakers that are not
    closed, as they were some seconds ago."""
    found: defaultdict[int, list[DeploymentStanding]] = defaultdict(list)
    for row in _told() or [*state.deployments, *_said()]:
        found[row.deployment].append(row)
    return {deployment: _merged(rows) for deployment, rows in found.items()}


def told() -> str:
    """What this process has to say with its heartbeat: of breakers that are not closed. "": nothing."""
    rows = [row for row in state.deployments if row.breaker != "closed"]
    return msgspec.json.encode(rows[:_MOST_SAID]).decode() if rows else ""


def hear(said: Callable[[], Iterable[str]]) -> None:
    """`said` asks the database what living processes have told so."""
    global _others
    _others = said


def _said() -> list[DeploymentStanding]:
    """Of other processes. An open breaker that was to try again by now is half open."""
    now = time.time()
    try:
        with walls.as_installation():
            rows = [row for text in _others() for row in _rows.decode(text)]
    except DatabaseError:
        return []
    return [
        row._replace(breaker="half_open", until=None) if row.until is not None and row.until <= now else row
        for row in rows
    ]


def _told() -> list[DeploymentStanding]:
    if not settings.REDIS_URL:
        return []
    from redis import RedisError

    try:
        values = cast("dict[bytes, bytes]", client(settings.REDIS_URL).hgetall(KEY))
    except RedisError:
        return []
    now = time.time()
    told: list[DeploymentStanding] = []
    for field, value in values.items():
        if field.startswith(ROWS.encode()):
            _, ends, text = value.split(b"|", 2)
            if int(ends) / 1000 > now:
                told += _rows.decode(text)
    return told


def _merged(rows: list[DeploymentStanding]) -> DeploymentStanding:
    """The worst phase that anybody is in; measures weighted by the calls that they are of."""
    worst = min(rows, key=lambda row: (_WORST.index(row.breaker), -(row.until or 0.0)))
    reason = worst.reason or next((row.reason for row in rows if row.reason), "")
    return worst._replace(
        reason=reason,
        first_token=_mean((row.first_token, row.calls) for row in rows),
        tokens_per_second=_mean((row.tokens_per_second, row.calls) for row in rows),
        success=_mean((row.success, row.calls) for row in rows),
        calls=sum(row.calls for row in rows),
        in_flight=_sum(row.in_flight for row in rows),
        most=_sum(row.most for row in rows),
        waiting=sum(row.waiting for row in rows),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean(weighed: Iterable[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in weighed if value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
