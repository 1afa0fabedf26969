"""The server's own protocol, before an application that remembers what it was asked."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from gateway_site.connections import Bounds
from gateway_site.server import configuration
from tests.servers import until

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Asked:
    """A request as the application got it. `body` is none where its client had gone."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    scheme: str
    body: bytes | None = None


@dataclass
class Wire:
    """Remembers. What is asked by `/slow` is answered when `go_on` is set, in two halves if by `/half`, and by `/gone`
    for as long as its client is there."""

    proxies: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        bounds = Bounds(of_one=0, proxies=tuple(self.proxies))
        config = configuration(self, host="127.0.0.1", port=0, bounds=bounds)
        config.lifespan, config.timeout_graceful_shutdown = "off", 0
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="wire", daemon=True)
        self._thread.start()
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.go_on.set()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not stop"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            self.asked.append(Asked("", scope["path"], scope["headers"], scope["client"], scope["scheme"]))
            await send({"type": "websocket.close"})
            return
        headers, path = scope["headers"], scope["path"]
        asked = Asked(scope["method"], path, headers, scope["client"], scope["scheme"])
        self.asked.append(asked)
        if path == "/half":
            await _begin(send, length=8)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        asked.body = await _body(receive)
        while path in ("/slow", "/half") and not self.go_on.is_set():
            await asyncio.sleep(0.005)
        if path == "/gone":
            await _stream(receive, send)
            asked.body = None
        elif path == "/half":
            await send({"type": "http.response.body", "body": b"half"})
        else:
            told = path.encode()
            await _begin(send, length=len(told))
            await send({"type": "http.response.body", "body": told})

    def connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def exchange(self, *parts: bytes) -> bytes:
        """What comes until the server closes."""
        with self.connect() as raw:
            try:
                for part in parts:
                    raw.sendall(part)
            except OSError:
                pass  # it has closed already
            return ending(raw)


def ending(raw: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := raw.recv(65536):
            received += chunk
    except ConnectionError:
        pass  # it closed while something was on its way to it
    return received


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(answers) if status != b"100"]


async def _begin(send: Any, *, length: int) -> None:
    headers = [(b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _stream(receive: Any, send: Any) -> None:
    left = asyncio.ensure_future(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not left.done():
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.005)
    assert left.result()["type"] == "http.disconnect"


async def _body(receive: Any) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message.get("more_body"):
            return body
