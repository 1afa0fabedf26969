"""A small application that tells what happens to it. By itself: `python -m tests.status.stand FD PRESTOP DRAIN`."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

from apps.runtime.state import state
from gateway_site.server import DrainingServer, configuration


class Stand:
    """`/now` answers, `/ready` as readiness does, `/read` when it has the body, `/stream` goes on until `go_on`,
    `/flood` never ends. Sockets are accepted, and closed at `go_on`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.go_on = asyncio.Event()
        self.settled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await self.go_on.wait()
            return
        while scope["path"] == "/read" and (await receive()).get("more_body"):
            pass
        status = 503 if scope["path"] == "/ready" and state.draining else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        try:
            if scope["path"] == "/stream":
                await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
                self.tell("streaming")
                await self.go_on.wait()
            elif scope["path"] == "/flood":
                while (await asyncio.sleep(0)) is None:
                    await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await send({"type": "http.response.body", "body": b"done"})
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b"cancelled"})
        finally:
            await asyncio.sleep(0.01)  # settling takes a moment
            self.settled += 1
            self.tell("settled")

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.tell("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    handle, prestop, drain = sys.argv[1:]
    stand = Stand(lambda event: print(event, flush=True))
    config = configuration(stand, host="", port=0)
    server = DrainingServer(config, prestop=float(prestop), drain=float(drain))
    server.run(sockets=[socket.socket(fileno=int(handle))])
    print("left", flush=True)


if __name__ == "__main__":
    main()
