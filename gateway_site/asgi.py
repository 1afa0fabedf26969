"""The front door: the data plane's paths first, then the probes, as plain ASGI; everything else is Django's.

By its role a process answers both planes, or one: `gateway` has no pages but those that tell operators how it fares,
`control` takes no calls.
"""

from __future__ import annotations

import os
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connections
from django.urls import Resolver404, re_path, resolve

from gateway_site.bodies import bounded
from gateway_site.charset import Utf8Request

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
django_application = get_asgi_application()
django_application.request_class = Utf8Request
bounded_application = bounded(django_application, settings.WEIR_MAX_BODY_BYTES)

from apps.gateway import engine, entrance, routes  # noqa: E402  # after Django is set up
from apps.status import probes  # noqa: E402
from gateway_site.telemetry import running  # noqa: E402


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Each request has a thread of its own, which ends with it; its connection would stay open at the database until
    the collector finds it, and that is seldom."""
    async with ThreadSensitiveContext():
        try:
            await bounded_application(scope, receive, send)
        finally:
            await sync_to_async(connections.close_all)()


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Django's. A program that asks for one that is not there gets an error that it can read, and no page."""
    is_known = _has_page(scope["path"]) or scope["path"].startswith("/static/")
    is_lost = routes.is_program(scope) and not is_known
    is_for_programs = is_lost or routes.is_knock(scope)
    await (routes.data_plane if is_for_programs else site)(scope, receive, send)


async def telling_pages(scope: Any, receive: Any, send: Any) -> None:
    """All the pages that a process for calls has: for operators. Nobody looks for another one there but by mistake."""
    await (site if _has_page(scope["path"]) else routes.data_plane)(scope, receive, send)


async def no_websocket(scope: Any, receive: Any, send: Any) -> None:
    """There is none here: the server answers the handshake with 403."""
    await receive()
    await send({"type": "websocket.close"})


def _has_page(path: str) -> bool:
    if path == "/":
        return False  # what leads from it to the admin is for people
    for candidate in (path, f"{path}/"):
        try:
            resolve(candidate)
        except Resolver404:
            continue
        return True
    return False


def _sockets() -> Any:
    from apps.portal import sockets

    nowhere: Any = no_websocket
    return URLRouter([*sockets.urlpatterns, re_path(r"", nowhere)])


def _calls(*, others: Any, websocket: Any) -> Any:
    """`others` answers what is neither a call nor a probe; `websocket` what did not come in by a pinned way."""

    async def unpinned(scope: Any, receive: Any, send: Any) -> None:
        is_behind = entrance.is_pinned({**scope, "type": "http"})
        await (no_websocket if is_behind else websocket)(scope, receive, send)

    http = URLRouter([*routes.patterns(routes.data_plane), *probes.urlpatterns, re_path(r"", others)])
    planes = ProtocolTypeRouter({"http": http, "websocket": unpinned, "lifespan": engine.lifespan})

    async def application(scope: Any, receive: Any, send: Any) -> None:
        """A completion under its own path goes straight in: routing it costs as much as the two rooms after."""
        straight = routes.completion(scope)
        if straight is not None and engine.current is None:
            await entrance.opened()
        if entrance.is_pinned(scope):
            straight = entrance.pinned
        await (planes if straight is None else straight)(scope, receive, send)

    return application


def _control() -> Any:
    from gateway_site.control import lifespan

    absent: Any = routes.absent
    others: Any = pages
    pinned = re_path(rf"^{entrance.PREFIX[1:]}", absent)
    http = URLRouter([pinned, *routes.patterns(absent), *probes.urlpatterns, re_path(r"", others)])
    return ProtocolTypeRouter({"http": http, "websocket": _sockets(), "lifespan": lifespan})


def by_role(role: str) -> Any:
    """The application of a process that is for all, for calls (`gateway`) or for people (`control`)."""
    if role == "control":
        return _control()
    if role == "gateway":
        return _calls(others=telling_pages, websocket=no_websocket)
    return _calls(others=pages, websocket=_sockets())


running.start(settings.WEIR_ROLE)
application = by_role(settings.WEIR_ROLE)
