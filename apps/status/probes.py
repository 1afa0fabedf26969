"""Health for balancers and orchestrators: plain ASGI ahead of Django, for anybody, and telling next to nothing.

A kubelet asks by address and over plain http, so these must not pass Django's checks of host and scheme; and they must
answer when everything else is busy. What they ask of the stores is asked at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from django.db import close_old_connections
from django.urls import re_path

from apps.runtime.state import state
from apps.status import checks

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Told = tuple[int, dict[str, Any]]

PATIENCE_SECONDS = 2.0
_FRESH_SECONDS = 1.0
_HUNG = checks.Check(name="database", ok=False, message="no answer in time")


class Inspector:
    """Runs the checks in one thread, off the loop, and remembers the last report for a second."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
        self._running: asyncio.Future[checks.Report] | None = None
        self._last: checks.Report | None = None
        self._at = 0.0

    async def report(self) -> checks.Report:
        if self._last is None or time.monotonic() - self._at > _FRESH_SECONDS:
            self._last, self._at = await self._ask(), time.monotonic()
        return msgspec.structs.replace(self._last, draining=state.draining)

    async def _ask(self) -> checks.Report:
        """A store that hangs costs its askers PATIENCE_SECONDS, and this process one thread."""
        loop = asyncio.get_running_loop()
        if self._running is None or self._running.done() or self._running.get_loop() is not loop:
            self._running = loop.run_in_executor(self._thread, _run)
        try:
            return await asyncio.wait_for(asyncio.shield(self._running), PATIENCE_SECONDS)
        except TimeoutError:
            return checks.Report((checks.configuration(), _HUNG))


def _run() -> checks.Report:
    close_old_connections()  # no request begins or ends in this thread
    return checks.run()


_inspector = Inspector()


async def _live() -> Told:
    return 200, {"status": "healthy", "role": state.role}


async def _health() -> Told:
    report = await _inspector.report()
    parts = {check.name: "ok" if check.ok else "failed" for check in report.checks}
    uptime = int(state.uptime)
    return _code(report), {"status": report.status, "role": state.role, "uptime_seconds": uptime, "checks": parts}


async def _ready() -> Told:
    report = await _inspector.report()
    return _code(report), {"status": report.status, "role": state.role}


async def _actuator() -> Told:
    report = await _inspector.report()
    parts = {check.name: {"status": _up(check.ok)} for check in report.checks}
    return _code(report), {"status": _up(report.ready), "components": parts}


async def _actuator_live() -> Told:
    return 200, {"status": "UP"}


async def _actuator_ready() -> Told:
    report = await _inspector.report()
    return _code(report), {"status": _up(report.ready)}


def _code(report: checks.Report) -> int:
    return 200 if report.ready else 503


def _up(good: bool) -> str:
    return "UP" if good else "DOWN"


PROBES: dict[str, Callable[[], Awaitable[Told]]] = {
    "/health": _health,
    "/health/live": _live,
    "/health/ready": _ready,
    "/actuator/health": _actuator,
    "/actuator/health/liveness": _actuator_live,
    "/actuator/health/readiness": _actuator_ready,
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] in ("GET", "HEAD"):
        status, told = await PROBES[scope["path"].rstrip("/")]()
        headers = []
    else:
        status, told, headers = 405, {"status": "method not allowed"}, [(b"allow", b"GET, HEAD")]
    body = msgspec.json.encode(told)
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


urlpatterns: list[Any] = [
    re_path(r"^health(?:/live|/ready)?/?$", application),
    re_path(r"^actuator/health(?:/liveness|/readiness)?/?$", application),
]
