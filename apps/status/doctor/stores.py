"""Redis and the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings

from apps.runtime import standings
from apps.runtime.redact import redact
from apps.status import checks
from apps.status.doctor.findings import Finding, fine, problem, warning

LEAST_VERSION = (6, 2)  # what the limiter's scripts are written for
SLOW_MS = 5.0
_ASKED = 5


def redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        yield fine("redis", "none is set: limits are counted in the process, and one gateway may run")
        return
    from redis import RedisError

    client = standings.client(settings.REDIS_URL)
    try:
        took = min(_timed(client) for _ in range(_ASKED))
        told = cast("dict[str, Any]", client.info("server"))
    except RedisError as error:
        words = redact(f"{type(error).__name__}: {error}").splitlines()[0][:200]
        yield problem(
            "redis", f"does not answer: {words}", "Is it up, and are host, port and password in REDIS_URL right?"
        )
        return
    version = str(told.get("valkey_version") or told.get("redis_version", "0"))
    name = "Valkey" if "valkey_version" in told else "Redis"
    number = tuple(int(part) for part in str(told.get("redis_version", "0")).split(".")[:2])
    if number < LEAST_VERSION:
        wanted = ".".join(map(str, LEAST_VERSION))
        yield problem("redis", f"{name} {version} is too old", f"Weir needs {wanted} or newer, or Valkey.")
    else:
        yield fine("redis", f"{name} {version} answers within {took:.1f} ms")
    if took > SLOW_MS:
        told_slow = f"a round trip takes {took:.1f} ms, which every call waits for"
        yield warning("redis", told_slow, "Put it nearer to the gateways.")
    yield from _eviction(client)


def _eviction(client: Any) -> Iterator[Finding]:
    from redis import RedisError

    try:
        policy = str(client.info("memory").get("maxmemory_policy", ""))
    except RedisError:
        return
    if policy and policy != "noeviction":
        told = f"maxmemory-policy is {policy}: counters of limits may be thrown away when memory is short"
        yield warning("redis", told, "CONFIG SET maxmemory-policy noeviction, and in its configuration file.")
    elif policy:
        yield fine("redis", "throws no counters away (maxmemory-policy noeviction)")


def broker() -> Iterator[Finding]:
    scheme = urlsplit(str(settings.CELERY_BROKER_URL)).scheme
    found = checks.broker()
    if found.ok:
        yield fine("broker", f"answers ({scheme or 'filesystem'}, {found.milliseconds:.0f} ms)")
    else:
        cure = "Is it up, and are host, port, user and password in CELERY_BROKER_URL right?"
        yield problem("broker", f"does not answer: {found.message.splitlines()[0]}", cure)


def _timed(client: Any) -> float:
    started = time.perf_counter()
    client.ping()
    return (time.perf_counter() - started) * 1000
