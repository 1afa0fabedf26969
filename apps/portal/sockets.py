"""The WebSockets of live pages. Whoever may open the page may have its socket: both are asked for with the same cookie,
and the socket asks the site itself, by the page's own address, who is there. So whatever guards pages (sessions, second
factors, membership, rights) guards sockets, when they are opened and for as long as they are open.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http.request import validate_host
from django.urls import re_path

from apps.portal import hub
from apps.portal.feed import Subject

ENDED = 4403  # signed out, or no member any more
FULL = 4429
SLOW_SECONDS = 20.0
_CARRIED = frozenset({b"cookie", b"host", b"user-agent", b"x-forwarded-proto", b"x-forwarded-for"})
_FEED, _ASKED = "feed/", "who/"


class Live(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    channel_layer_alias = ""  # none: nothing is sent through one

    async def connect(self) -> None:
        """Refused before it is accepted: a handshake that is answered with 403."""
        self.watcher: hub.Watcher | None = None
        self._sender: asyncio.Task[None] | None = None
        known = await self._who() if is_own_origin(self.scope) else None
        if known is None:
            await self.close()
            return
        visitor, subject = known
        await self.accept()
        hall = hub.here()
        if not hall.has_room(visitor):
            await self.close(FULL)
            return
        self.watcher = hub.Watcher(subject, visitor=visitor, review=self._subject)
        hall.join(self.watcher)
        self._sender = asyncio.create_task(self._send_frames(self.watcher))

    async def disconnect(self, code: int) -> None:
        if self._sender is not None:
            self._sender.cancel()
        if self.watcher is not None:
            await hub.here().leave(self.watcher)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """There is nothing to say."""
        await self.close(1008)

    async def _send_frames(self, watcher: hub.Watcher) -> None:
        try:
            while (frame := await watcher.next()) is not None:
                async with asyncio.timeout(SLOW_SECONDS):
                    await self.send(frame)
            await self.close(ENDED)
        except TimeoutError:
            await self.close(1013)  # it reads nothing

    async def _subject(self) -> Subject | None:
        known = await self._who()
        return None if known is None else known[1]

    async def _who(self) -> tuple[str, Subject] | None:
        """The visitor, and what they may look at."""
        status, body = await _answer(self.scope, self.scope["path"].removesuffix(_FEED) + _ASKED)
        if status != 200:
            return None
        told = json.loads(body)
        return told["visitor"], Subject(told["tenant"], told["user"])


async def _answer(scope: dict[str, Any], path: str) -> tuple[int, bytes]:
    """What the site says to a GET of the same browser."""
    asked = {
        **{key: scope[key] for key in ("client", "server", "root_path") if key in scope},
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": {"wss": "https"}.get(scope.get("scheme", ""), "http"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name, value) for name, value in scope["headers"] if name in _CARRIED],
    }
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    status, parts = 500, []

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    answering = asyncio.create_task(_handled(asked, incoming.get, send))
    try:
        await asyncio.shield(answering)
    finally:  # whoever asked has gone: what was begun is ended, and its database connection closed
        await asyncio.wait([answering])
    return status, b"".join(parts)


async def _handled(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """As the site does it, in a thread of the request's own; its connection is not left to the thread's end."""
    async with ThreadSensitiveContext():
        try:
            await _site().handle(scope, receive, send)
        finally:
            await sync_to_async(connections.close_all)()


def is_own_origin(scope: dict[str, Any]) -> bool:
    """Whether a page of this site opens it. Browsers say where a page is from; what says nothing is none."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1")
    host = headers.get(b"host", b"").decode("latin-1")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        asked = urlsplit(origin)
        named = urlsplit(f"//{host}")
        is_same = asked.scheme in ("http", "https") and asked.netloc.lower() == host.lower() != ""
        return is_same and validate_host(named.hostname or "", settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1"])
    except ValueError:
        return False


_handlers: list[ASGIHandler] = []


def _site() -> ASGIHandler:
    """Made when it is first asked: then every app is there."""
    if not _handlers:
        _handlers.append(ASGIHandler())
    return _handlers[0]


_live: Any = Live.as_asgi()
urlpatterns = [re_path(r"^t/[-\w]+/live/feed/$", _live), re_path(r"^live/feed/$", _live)]
