"""Health for balancers and orchestrators: plain ASGI ahead of Django, for anybody, and telling next to nothing.

A kubelet asks by address and over plain http, so these must not pass Django's checks of host and scheme; and they must
answer when everything else is busy. What they ask of the stores is asked at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from django.db import close_old_connections
from django.urls import re_path

from apps.runtime.database import DatabaseThread
from apps.runtime.state import state
from apps.status import actuator, checks, exposition, operators

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
Told = tuple[int, dict[str, Any]]

PATIENCE_SECONDS = 2.0
_FRESH_SECONDS = 1.0


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
            return checks.hung()


def _run() -> checks.Report:
    close_old_connections()  # no request begins or ends in this thread
    return checks.run()


_inspector = Inspector()
_figures = DatabaseThread("figures")


async def _is_stuck() -> bool:
    """Only where that can be said: a store that hangs is no reason to end whoever waits for it."""
    return checks.is_stuck() and (await _inspector.report()).passed("broker") and checks.is_stuck()


async def _live() -> Told:
    is_stuck = await _is_stuck()
    return 503 if is_stuck else 200, {"status": "unhealthy" if is_stuck else "healthy", "role": state.role}


async def _health() -> Told:
    report = await _inspector.report()
    parts = {check.name: "ok" if check.ok else "failed" for check in report.checks}
    uptime = int(state.uptime)
    return _code(report), {"status": report.status, "role": state.role, "uptime_seconds": uptime, "checks": parts}


async def _ready() -> Told:
    report = await _inspector.report()
    return _code(report), {"status": report.status, "role": state.role}


async def _actuator(*, tells_all: bool = False) -> Told:
    report = await _inspector.report()
    try:
        beside = await asyncio.wait_for(_figures.ask(actuator.components), PATIENCE_SECONDS)
    except TimeoutError:
        beside = {}
    return _code(report), actuator.told(report, beside, tells_all=tells_all)


async def _actuator_live() -> Told:
    is_stuck = await _is_stuck()
    return 503 if is_stuck else 200, {"status": _up(not is_stuck)}


async def _actuator_ready() -> Told:
    report = await _inspector.report()
    return _code(report), {"status": _up(report.ready)}


def _code(report: checks.Report) -> int:
    return 200 if report.ready else 503


def _up(good: bool) -> str:
    return "UP" if good else "DOWN"


_TELLING = "/actuator/health"  # with details for who holds the operator's token
PROBES: dict[str, Callable[[], Awaitable[Told]]] = {
    "/health": _health,
    "/health/live": _live,
    "/health/ready": _ready,
    "/actuator/health": _actuator,
    "/actuator/health/liveness": _actuator_live,
    "/actuator/health/readiness": _actuator_ready,
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        await _answer(send, 405, b'{"status": "method not allowed"}', headers=[(b"allow", b"GET, HEAD")])
        return
    path = scope["path"].rstrip("/")
    if path == _TELLING and _is_operator(scope):
        status, told = await _actuator(tells_all=True)
    else:
        status, told = await PROBES[path]()
    await _answer(send, status, msgspec.json.encode(told), is_head=scope["method"] == "HEAD")


async def telling(scope: Scope, receive: Receive, send: Send) -> None:
    """Health and `/metrics` for a process that has no other pages: a worker, a beat."""
    path = scope["path"].rstrip("/")
    if path in PROBES:
        await application(scope, receive, send)
        return
    if path != "/metrics":
        await _answer(send, 404, b'{"status": "not found"}')
        return
    headers = dict(scope["headers"])
    if not _is_operator(scope):
        told = b'{"detail": "This wants the operator\'s token."}'
        await _answer(send, 401, told, headers=[(b"www-authenticate", b'Bearer realm="weir operator"')])
        return
    body, kind = await _figures.ask(exposition.render, headers.get(b"accept", b"").decode("latin-1"))
    await _answer(send, 200, body, kind=kind.encode())


def _is_operator(scope: Scope) -> bool:
    """By the token; nobody is signed in here."""
    scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")
    return scheme.lower() == "bearer" and operators.is_token(given.strip())


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    kind: bytes = b"application/json",
    headers: Sequence[Header] = (),
    is_head: bool = False,
) -> None:
    named = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *named]})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


urlpatterns: list[Any] = [
    re_path(r"^health(?:/live|/ready)?/?$", application),
    re_path(r"^actuator/health(?:/liveness|/readiness)?/?$", application),
]
