"""The connection of one call: writing, waiting, and breaking it in ways that ASGI has no words for."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Message = MutableMapping[str, Any]  # Any: as ASGI has it
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EXTENSION = "simulator.connection"
FLUSH_SECONDS = 0.02


class Protocol(HttpToolsProtocol):
    """Uvicorn's own, which also hands the transport to the application as an ASGI extension."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"transport": self.transport}}


class Gone(Exception):
    """The peer has closed the connection."""


class Wire:
    """Raises Gone from every method once the peer has left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.transport: asyncio.Transport = scope["extensions"][EXTENSION]["transport"]
        self._is_raw = False

    async def body(self) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    def check(self) -> None:
        if self.transport.is_closing():
            raise Gone

    async def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def raw_head(self, status: int, headers: list[tuple[bytes, bytes]], *, seconds: float) -> None:
        """The head byte by byte, by hand; what follows is framed by hand too, and the connection closed at the end."""
        lines = [b"HTTP/1.1 %d OK" % status, *(b"%s: %s" % header for header in headers)]
        lines += [b"transfer-encoding: chunked", b"connection: close", b"", b""]
        head = b"\r\n".join(line for line in lines if not line.startswith(b"content-length:"))
        self._is_raw = True
        for position in range(len(head)):
            self.check()
            self.transport.write(head[position : position + 1])
            await self.pause(seconds / len(head))

    async def write(self, data: bytes) -> None:
        self.check()
        if self._is_raw:
            self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Ends the answer, with its last bytes where there are some."""
        if self._is_raw:
            self.transport.write(b"0\r\n\r\n")
            await self.close()
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def pause(self, seconds: float) -> None:
        """Waits, or raises Gone as soon as the peer leaves."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self.hung_up()
            except TimeoutError:
                return
            raise Gone
        await asyncio.sleep(0)
        self.check()

    async def hung_up(self) -> None:
        """Returns when the connection is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def close(self) -> None:
        """A FIN behind whatever has been written."""
        self.transport.close()
        await self.hung_up()

    async def reset(self) -> None:
        """An RST. What has been written gets a moment to arrive: a reset may overtake it."""
        await self.pause(FLUSH_SECONDS)
        descriptor = self.transport.get_extra_info("socket").fileno()
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.hung_up()
