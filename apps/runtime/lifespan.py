"""ASGI's lifespan: what a process begins before its first request, and closes after its last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from apps.runtime.state import state

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger(__name__)


def lifespan(
    start: Callable[[], Awaitable[object]], stop: Callable[[], Awaitable[None]], *, failed: str
) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """An ASGI application. `failed`: the event that is logged when `start` raises; the server then ends, and after
    ImproperlyConfigured says why in one line (`state.unfit`)."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await start()
                except Exception as error:
                    state.unfit = str(error) if isinstance(error, ImproperlyConfigured) else ""
                    log.error(failed, reason=str(error), exc_info=not state.unfit)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    return application
