"""Ports of pinned endpoints: opened and closed while the server runs, as the configuration wants them.

Connections to them are the server's own in all that concerns draining, settling and stalling clients. Several
processes of one machine share a port (SO_REUSEPORT) where several may serve at all, that is with a Redis; a process
that serves alone wants its port alone, so that two installations cannot take each other's callers.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from apps.runtime.state import state

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import Server

log = structlog.get_logger(__name__)

SCOPE = "weir.port"  # as `apps.gateway.entrance` reads it
RETRY_SECONDS = 2.0
_MAPPED = "::ffff:"  # before an IPv4 address at a socket for both families
_SAID = {
    errno.EADDRINUSE: "in use",
    errno.EACCES: "not allowed",
    errno.EADDRNOTAVAIL: "the address is not this machine's",
}

Wanted = Mapping[int, str]
"""By port, the address that it listens on; "": the server's own."""


class Listening(NamedTuple):
    address: str
    server: asyncio.Server


class Ports:
    """Those of one server. `wanted` is asked on every tick of its loop, and returns the same object until something
    has changed; `share`: other processes may listen on the same."""

    def __init__(self, wanted: Callable[[], Wanted], *, share: bool) -> None:
        self._wanted = wanted
        self._share = share
        self._seen: Wanted | None = None
        self._open: dict[int, Listening] = {}
        self._again_at = 0.0

    async def tick(self, server: Server) -> None:
        """Does what has to be done. Cheap when that is nothing."""
        wanted = self._wanted()
        is_due = any(state.ports.values()) and time.monotonic() >= self._again_at
        if (wanted is self._seen and not is_due) or state.draining:
            return
        self._seen = wanted
        self._again_at = time.monotonic() + RETRY_SECONDS
        for port, listening in list(self._open.items()):
            if wanted.get(port) != listening.address:
                self._close(port, server)
        for port in [port for port in state.ports if port not in wanted]:
            del state.ports[port]
        for port, address in wanted.items():
            if port not in self._open:
                await self._listen(port, address, server)

    async def _listen(self, port: int, address: str, server: Server) -> None:
        try:
            listener = _bound(address or _own(server), port, share=self._share)
        except OSError as error:
            said = _SAID.get(error.errno or 0) or os.strerror(error.errno or 0)
            if state.ports.get(port) != said:
                log.error("server.port_failed", port=port, host=address, reason=said)
            state.ports[port] = said
            return
        loop = asyncio.get_running_loop()
        opened = await loop.create_server(_protocol(server, port), sock=listener, backlog=server.config.backlog)
        self._open[port] = Listening(address, opened)
        server.servers.append(opened)  # they are closed together
        state.ports[port] = ""
        log.info("server.port_opened", port=port, host=listener.getsockname()[0])

    def _close(self, port: int, server: Server) -> None:
        """Takes no more connections. What runs on those that there are may finish."""
        listening = self._open.pop(port)
        listening.server.close()
        server.servers.remove(listening.server)
        state.ports.pop(port, None)
        log.info("server.port_closed", port=port)


def _bound(address: str, port: int, *, share: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        listener.bind((address, port))
        listener.listen(1)  # another one's is found out about here
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _own(server: Server) -> str:
    """What the server itself listens on; a Unix socket is nobody's address."""
    for listening in server.servers:
        for listener in listening.sockets:
            if listener.family in (socket.AF_INET, socket.AF_INET6):
                return str(listener.getsockname()[0])
    return "127.0.0.1"


def _protocol(server: Server, port: int) -> Callable[[], asyncio.Protocol]:
    """As Uvicorn makes them for its own sockets; the application is told the port."""
    config: Config = copy.copy(server.config)
    config.loaded_app = _Marked(config.loaded_app, port)

    def make() -> asyncio.Protocol:
        made: Any = config.http_protocol_class
        return made(config=config, server_state=server.server_state, app_state=server.lifespan.state)  # type: ignore[no-any-return]

    return make


class _Marked:
    """An ASGI application."""

    def __init__(self, app: Any, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope[SCOPE] = self._port
        if (client := scope.get("client")) is not None:  # behind it proxies are known by IPv4's own addresses
            scope["client"] = (client[0].removeprefix(_MAPPED), client[1])
        await self._app(scope, receive, send)
