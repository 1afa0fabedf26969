"""A raw TCP upstream that does as it is told, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from apps.outbound.client import Answer

Script = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One request as it arrived, and the socket to answer on. `connection` counts from 1."""

    connection: int
    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()


@dataclass
class Upstream:
    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # a client has closed its side

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/messages"


@contextlib.asynccontextmanager
async def listening(script: Script, *, takes_body: bool = True) -> AsyncIterator[Upstream]:
    """`takes_body` False: whatever follows a head stays in the socket until the script reads it."""
    upstream = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.connections += 1
        number = upstream.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if takes_body and line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                visit = Visit(number, head, await reader.readexactly(length), reader, writer)
                upstream.visits.append(visit)
                await script(visit)
        except (OSError, asyncio.IncompleteReadError):
            upstream.gone.set()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


async def collect(answer: Answer, *, into: list[bytes]) -> None:
    """Read the chunks; what came before an error is kept. Closes the answer."""
    try:
        while piece := await answer.chunk():
            into.append(piece)
    finally:
        await answer.close()


async def fetch(opening: Awaitable[Answer], *, limit: int = 1000) -> bytes:
    answer = await opening
    try:
        return await answer.read(limit)
    finally:
        await answer.close()
