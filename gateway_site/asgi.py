"""The front door: the data plane's paths first, then the probes, as plain ASGI; everything else is Django's."""

from __future__ import annotations

import os
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.db import connections
from django.urls import Resolver404, re_path, resolve

from gateway_site.charset import Utf8Request

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
django_application = get_asgi_application()
django_application.request_class = Utf8Request

from apps.gateway import engine, entrance, routes  # noqa: E402  # after Django is set up
from apps.portal import sockets  # noqa: E402
from apps.status import probes  # noqa: E402


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Each request has a thread of its own, which ends with it; its connection would stay open at the database until
    the collector finds it, and that is seldom."""
    async with ThreadSensitiveContext():
        try:
            await django_application(scope, receive, send)
        finally:
            await sync_to_async(connections.close_all)()


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Django's. A program that asks for one that is not there gets an error that it can read, and no page."""
    is_lost = routes.is_program(scope) and not _has_page(scope["path"])
    is_for_programs = is_lost or routes.is_knock(scope)
    await (routes.data_plane if is_for_programs else site)(scope, receive, send)


async def no_websocket(scope: Any, receive: Any, send: Any) -> None:
    """There is none here: the server answers the handshake with 403."""
    await receive()
    await send({"type": "websocket.close"})


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """The portal's; behind a pin there is none."""
    is_behind = entrance.is_pinned({**scope, "type": "http"})
    await (no_websocket if is_behind else _sockets)(scope, receive, send)


def _has_page(path: str) -> bool:
    if path == "/":
        return False  # what leads from it to the admin is for people
    for candidate in (path, f"{path}/"):
        try:
            resolve(candidate)
        except Resolver404:
            continue
        return True
    return path.startswith("/static/")


_nowhere: Any = no_websocket
_sockets = URLRouter([*sockets.urlpatterns, re_path(r"", _nowhere)])
planes = ProtocolTypeRouter(
    {
        "http": URLRouter([*routes.urlpatterns, *probes.urlpatterns, re_path(r"", pages)]),
        "websocket": websocket,
        "lifespan": engine.lifespan,
    }
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """A completion under its own path goes straight in: routing it costs as much as the two rooms after."""
    straight = routes.completion(scope)
    if straight is not None and engine.current is None:
        await entrance.opened()
    if entrance.is_pinned(scope):
        straight = entrance.pinned
    await (planes if straight is None else straight)(scope, receive, send)
