"""ASGI's lifespan: what a process begins before its first request, and closes after its last."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError

from apps.runtime.state import state

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger(__name__)

_ABSENT = re.compile(r"(relation|column) .* does not exist|no such (table|column)")


def lifespan(
    start: Callable[[], Awaitable[object]], stop: Callable[[], Awaitable[None]], *, failed: str
) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """An ASGI application. `failed`: the event that is logged when `start` raises; the server then ends, and
    says in one line what an operator can mend (`state.unfit`)."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await start()
                except Exception as error:
                    state.unfit = _mendable(error)
                    told = state.unfit or str(error)
                    log.error(failed, reason=told, exc_info=not state.unfit)
                    await send({"type": "lifespan.startup.failed", "message": told})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    return application


def _mendable(error: Exception) -> str:
    """One line with the cure; empty where it is a fault of ours, and wants a traceback."""
    if isinstance(error, ImproperlyConfigured):
        return str(error)
    said = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, DatabaseError) and _ABSENT.search(said):
        return f"The database is not as this version needs it ({said}): manage.py migrate, once for an installation."
    if isinstance(error, OperationalError | InterfaceError):
        return f"The database does not answer, or refuses ({said}): see whether it runs, and what DATABASE_URL says."
    return ""
