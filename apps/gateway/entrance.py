"""The way by which a call has come in: the installation's own address, or one that is pinned to a model.

Behind a pinned one, be it a path `/e/<name>`, a host name or a port, there is the data plane and nothing else. Who has
come in by a port or a host name does not get to another endpoint by its path.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from apps.gateway import endpoints, engine, routes
from apps.gateway.context import PINNED, WRITTEN

if TYPE_CHECKING:
    from apps.domain.snapshot import PinnedEndpoint
    from apps.gateway.context import Receive, Scope, Send

PREFIX = "/e/"
PORT = "weir.port"  # in the scope of what came in by a port of its own: its number


def is_pinned(scope: Scope) -> bool:
    """Whether `pinned` is to answer: by path or port whatever there is, by host name if it is an endpoint's."""
    if scope["type"] != "http":
        return False
    return PORT in scope or scope["path"].startswith(PREFIX) or _by_host(scope) is not None


async def pinned(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for all that has come in by a pinned way."""
    if engine.current is None and await endpoints.started(scope, receive, send) is None:
        return
    found, inner = _entered(scope)
    if found is None:
        await endpoints.unknown_endpoint(inner, receive, send)
    else:
        await routes.data_plane({**inner, PINNED: found}, receive, send)


async def opened() -> None:
    """Until it is known what is pinned, under a server that sends no lifespan. Where the engine cannot start, whatever
    is asked for says so."""
    with contextlib.suppress(Exception):
        await engine.running()


def _entered(scope: Scope) -> tuple[PinnedEndpoint | None, Scope]:
    """The endpoint, and the scope as it looks from behind the path that leads to it."""
    if PORT in scope:
        return endpoints.snapshot().endpoints.by_port.get(scope[PORT]), scope
    if (found := _by_host(scope)) is not None:
        return found, scope
    name, slash, rest = scope["path"][len(PREFIX) :].partition("/")
    root_path = f"{scope.get('root_path', '')}{PREFIX}{name}"
    inner = {**scope, "path": slash + rest or "/", "root_path": root_path, WRITTEN: scope["path"]}
    return endpoints.snapshot().endpoints.by_name.get(name), inner


def _by_host(scope: Scope) -> PinnedEndpoint | None:
    """Costs nothing to speak of while no host name is pinned: every call is asked."""
    running = engine.current
    if running is None or not (known := running.configuration.snapshot.endpoints.by_host):
        return None
    for name, value in scope["headers"]:
        if name == b"host":
            return known.get(value.partition(b":")[0].lower().removesuffix(b"."))
    return None
