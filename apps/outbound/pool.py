"""Kept-alive connections under one set of rules. Replaced whole when the rules change, closed when nobody is left."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

import aiohttp
import certifi
import httpx2
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from apps.domain.snapshot import Timeouts
from apps.outbound import faults
from apps.outbound.guard import AddressRefused, Guard
from apps.outbound.transport import DirectTransport, Prepared, PreparedURL

# Of an answer that nobody takes; a single read may bring more.
UNREAD_BYTES = 16 * 1024
# Seconds. Load balancers close what is idle at 60 and more, and a call that meets that on its way is sent twice.
KEEP_ALIVE = 50.0
_KNOWN_URLS = 4096
_FINAL = 200  # statuses below announce another answer
_MOST_INTERIM = 32

made_connection: ContextVar[bool] = ContextVar("made_connection", default=False)  # by the call now running
_encrypted: ContextVar[bool] = ContextVar("encrypted", default=False)


class Pool:
    """Sessions under one guard. `enter` and `leave` count the calls that use it. Made inside a running loop."""

    def __init__(
        self,
        private_networks: Sequence[str],
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.guard = Guard(private_networks)
        self._resolver = resolver
        self._tls = tls
        self._urls: dict[str, PreparedURL] = {}
        self._sessions: list[aiohttp.ClientSession] = []
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.transport = transport or self._make_transport(keep_alive=True)
        self._fresh_transport = transport

    @property
    def fresh_transport(self) -> httpx2.AsyncBaseTransport:
        """One that never reuses a connection."""
        if self._fresh_transport is None:
            self._fresh_transport = self._make_transport(keep_alive=False)
        return self._fresh_transport

    def request(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes, timeouts: Timeouts
    ) -> Prepared:
        """Raises UpstreamBroken for a URL that may not be called."""
        return Prepared(
            method,
            self._urls.get(url) or self._checked(url),
            headers=CIMultiDict(headers),
            body=body,
            connect=timeouts.connect,
        )

    def enter(self) -> None:
        self._users += 1

    def leave(self) -> None:
        self._users -= 1
        if self._retired and self._users == 0:
            self._closing = asyncio.ensure_future(self.close())

    def retire(self) -> None:
        """Close when the last call has left."""
        self._retired = True
        if self._users == 0:
            self._closing = asyncio.ensure_future(self.close())

    @property
    def is_closed(self) -> bool:
        return all(session.closed for session in self._sessions)

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()

    def _checked(self, url: str) -> PreparedURL:
        try:
            self.guard.check_url(url)
        except AddressRefused as error:
            raise faults.translate(error) from error
        if len(self._urls) >= _KNOWN_URLS:
            self._urls.clear()
        known = self._urls[url] = PreparedURL(url)
        return known

    def _make_transport(self, *, keep_alive: bool) -> DirectTransport:
        session = guarded_session(self.guard, keep_alive=keep_alive, resolver=self._resolver, tls=self._tls)
        self._sessions.append(session)
        return DirectTransport(session, tls=self._tls or tls_context())


def guarded_session(
    guard: Guard,
    *,
    keep_alive: bool,
    resolver: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.ClientSession:
    """`resolver` and `tls` replace the machine's own. No cookies, no proxies from the environment, no decompression."""
    return aiohttp.ClientSession(
        connector=GuardedConnector(guard, keep_alive=keep_alive, resolver=resolver, tls=tls),
        headers={"User-Agent": "weir", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        read_bufsize=UNREAD_BYTES // 2,  # aiohttp stops at twice as much
    )


class GuardedConnector(aiohttp.TCPConnector):
    """Judges every address when its socket is made, and lets a call know that it did not reuse a connection."""

    def __init__(
        self, guard: Guard, *, keep_alive: bool, resolver: AbstractResolver | None, tls: ssl.SSLContext | None
    ) -> None:
        self._guard = guard
        lifetime: dict[str, Any] = {"keepalive_timeout": KEEP_ALIVE} if keep_alive else {"force_close": True}
        super().__init__(
            limit=0,
            ssl=tls or tls_context(),
            resolver=GuardedResolver(guard, inner=resolver or aiohttp.ThreadedResolver()),
            socket_factory=self._make_socket,
            **lifetime,
        )
        self._factory = partial(_Connection, loop=self._loop)

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109  # aiohttp's
        made_connection.set(True)
        _encrypted.set(req.is_ssl())
        return await super()._create_connection(req, traces, timeout)

    def _make_socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        self._guard.check_address(str(address[0]), encrypted=_encrypted.get())
        return socket.socket(family=family, type=kind, proto=protocol)


class _Connection(ResponseHandler):
    """Reads an answer in one way or not at all. Who waits for more of a body that turns out to be framed wrong learns
    of it: aiohttp's own tells nobody."""

    _interim = 0  # answers that are none yet, since the last one
    _is_refused = False

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The head of an answer has come. Judged before anybody has it, so that neither its connection serves anybody
        else, nor is what comes behind it taken for an answer."""
        message = data[0]
        self._interim = self._interim + 1 if message.code < _FINAL else 0
        if faults.is_ambiguous(message) or self._interim > _MOST_INTERIM:
            self._is_refused = True
            if self.transport is not None:
                self.transport.abort()  # type: ignore[attr-defined]  # it is one of sockets
            self.set_exception(HttpProcessingError(message="ambiguous"))
        if not self._is_refused:
            super().feed_data(data, size)

    def set_exception(self, exc: Any, *cause: Any) -> None:
        body = self._payload
        super().set_exception(exc, *cause)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc, *cause)


class GuardedResolver(AbstractResolver):
    """Refuses a name when any one of its addresses is refused."""

    def __init__(self, guard: Guard, *, inner: AbstractResolver) -> None:
        self._guard = guard
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for result in found:
            # Whether the call is encrypted is known, and judged, where the socket is made.
            self._guard.check_address(result["host"], encrypted=True)
        return found

    async def close(self) -> None:
        await self._inner.close()


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The machine's certificate authorities and Mozilla's: a bare machine may have none of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
