"""Serves the site: `python -m gateway_site.server --host H --port P`, or `--fd N` for a socket that is open already.

`--role gateway` serves calls, `--role control` the pages of people, `--role all` both; without it WEIR_ROLE decides.

Uvicorn, with an end that loses nothing. On SIGTERM or SIGINT readiness turns false at once and connections are told
to close, but calls are taken for WEIR_PRESTOP_SECONDS more, until balancers have noticed. Then nothing is accepted,
streams finish for up to WEIR_DRAIN_SECONDS, what is left is cancelled and settles, and the lifespan's shutdown closes
the books. A second SIGINT skips the waiting, never the settling.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.server import Server

from apps.runtime.state import state
from gateway_site.connections import Bounds, protocol
from gateway_site.forwarded import Proxies
from gateway_site.ports import Ports, Wanted

if TYPE_CHECKING:
    from types import FrameType

SETTLE_SECONDS = 15.0  # for cancelled calls to write down what they cost
_TICK = 0.1  # Uvicorn's
_COLLECT_AFTER = 50_000  # objects that have not gone by themselves
_CLOSE = (b"connection", b"close")
_NO_PORTS: Wanted = {}


class DrainingServer(Server):
    """Uvicorn's server with Weir's way of leaving, and with ports that come and go. `prestop` and `drain` are
    seconds."""

    def __init__(self, config: Config, *, prestop: float, drain: float, ports: Ports | None = None) -> None:
        super().__init__(config)
        self._ports = ports
        self._prestop = prestop
        self._drain = drain
        self._leave_at: float | None = None
        self._told = False
        self._ticked = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """In the signal handler: flags only. The signal is not raised again afterwards: having drained is a success."""
        if self._leave_at is None:
            state.begin_drain()
            self._leave_at = time.monotonic() + self._prestop
        elif sig == signal.SIGINT:
            self.force_exit = self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # What was made until now stays: the collector need not look at it again and again. What a call makes goes
        # with it, without the collector, which else would look at every call in flight hundreds of times a second.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        if self._ticked:
            state.loop_lag = max(0.0, now - self._ticked - _TICK)
        self._ticked = now
        if self._leave_at is not None:
            if not self._told:
                self._tell()
            self.should_exit = self.should_exit or now >= self._leave_at
        if self._ports is not None:
            await self._ports.tick(self)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state.begin_drain()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._finish()
        await self._cancel()
        await self.lifespan.shutdown()

    def _tell(self) -> None:
        """Clients that keep their connections are asked to make the next one, elsewhere."""
        self._told = True
        limits = {"prestop_seconds": self._prestop, "drain_seconds": self._drain}
        log().info("server.draining", in_flight=state.in_flight, **limits)
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]

    async def _finish(self) -> None:
        deadline = time.monotonic() + self._drain
        while self.server_state.connections or self.server_state.tasks:
            if self.force_exit or time.monotonic() >= deadline:
                return
            await asyncio.sleep(_TICK)

    async def _cancel(self) -> None:
        left = [task for task in self.server_state.tasks if not task.done()]
        if not left:
            return
        log().warning("server.cancelling", count=len(left))
        for task in left:
            task.cancel("the server is going down")
        await asyncio.wait(left, timeout=SETTLE_SECONDS)


def log() -> Any:
    import structlog

    return structlog.get_logger(__name__)


def raise_limits() -> None:
    """As many sockets as the system lets us have."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def configuration(app: Any, *, host: str, port: int, bounds: Bounds | None = None) -> Config:
    """Proxies, those of `bounds`, are believed what they say of the client's address."""
    bounds = bounds or Bounds()
    return Config(
        app,
        host=host,
        port=port,
        http=protocol(bounds),
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(bounds.proxies),
        forwarded_allow_ips=Proxies(bounds.proxies).spelled_out(),
        timeout_keep_alive=75,  # longer than balancers keep theirs, so that they, not we, close an idle one
    )


def bounds(settings: Any) -> Bounds:
    """What settings let clients take. A call takes two descriptors, its client's and its provider's."""
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_all: int = settings.WEIR_MAX_CONNECTIONS
    return Bounds(
        stall=settings.WEIR_STALL_SECONDS,
        head=settings.WEIR_HEADER_SECONDS,
        head_bytes=settings.WEIR_MAX_HEADER_BYTES,
        body=settings.WEIR_BODY_SECONDS,
        least=settings.WEIR_MIN_BYTES_PER_SECOND,
        in_all=in_all if most == resource.RLIM_INFINITY else min(in_all, most // 2),
        of_one=settings.WEIR_MAX_CONNECTIONS_PER_ADDRESS,
        proxies=tuple(settings.WEIR_TRUSTED_PROXIES),
    )


def pinned_ports() -> Wanted:
    """Those that the gateway's present configuration wants; where none runs, there is none to take calls."""
    from apps.gateway import engine

    return engine.current.configuration.snapshot.endpoints.addresses if engine.current is not None else _NO_PORTS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway_site.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket that this process has inherited")
    parser.add_argument("--role", choices=("all", "gateway", "control"), help="which planes (default: WEIR_ROLE)")
    given = parser.parse_args(arguments)

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    if given.role:
        os.environ["WEIR_ROLE"] = given.role
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        from gateway_site import env

        env.SERVING = True
        django.setup()
    except ImproperlyConfigured as error:
        parser.exit(1, f"gateway_site.server: {error}\n")
    raise_limits()
    from apps.status import exposition

    exposition.begin()
    app = "gateway_site.asgi:application"
    config = configuration(
        app,
        host=given.host,
        port=given.port,
        bounds=bounds(settings),
    )
    ports = Ports(pinned_ports, share=bool(settings.REDIS_URL))
    server = DrainingServer(
        config, prestop=settings.WEIR_PRESTOP_SECONDS, drain=settings.WEIR_DRAIN_SECONDS, ports=ports
    )
    with contextlib.suppress(SystemExit):  # Uvicorn's, whose status says nothing more
        server.run(sockets=None if given.fd is None else [socket.socket(fileno=given.fd)])
    if state.unfit:
        parser.exit(1, f"gateway_site.server: {state.unfit}\n")
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
