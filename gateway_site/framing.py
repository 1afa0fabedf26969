"""Where a request begins and ends, and what its headers are: read in one way, or not at all.

llhttp reads strictly, but lets through what another parser on the way may have read otherwise: codings besides
`chunked`, no host or two, targets that are a proxy's, trailers that look like headers, and what comes behind an
`Upgrade`. Whoever sends that is answered 400, and nothing more of the connection is read. What came whole before it is
answered first.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

import httptools

from gateway_site import forwarded
from gateway_site.forwarded import Proxies

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_LONGEST_LENGTH = 18  # digits: beyond, parsers begin to count anew
_MOST_WAITING = 16  # requests of one connection, behind the one that is being answered
_UNDERSCORE = ord("_")
_FRAMES = frozenset({b"content_length", b"transfer_encoding"})  # to who takes `_` for `-`
_USUAL = frozenset({b"close", b"keep-alive", b"upgrade", b"keep-alive, upgrade"})
_WATCHED = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"}) | forwarded.HEADERS
# Not of one connection, whoever says so: each would be another request without it.
_END_TO_END = frozenset({b"authorization", b"x-api-key", b"cookie", b"content-type"}) | _WATCHED - {b"connection"}
_OPTIONS_OF_CONNECTIONS = frozenset({b"close", b"keep-alive", b"upgrade", b"connection"})
_OF_UPGRADES = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Ambiguous(ValueError):
    """A request that others may read otherwise."""


class Framing:
    """For Uvicorn's protocol of httptools. `proxies` are the server's."""

    proxies: Proxies
    # Uvicorn's own.
    client: tuple[str, int] | None
    cycle: Any
    headers: list[tuple[bytes, bytes]]
    parser: Any
    pipeline: deque[tuple[Any, Any]]
    scope: dict[str, Any]
    server: tuple[str, int | None] | None  # its port; a Unix socket has none
    transport: asyncio.Transport
    url: bytes
    _is_believed = True  # what it says of who calls
    _is_read_again = False  # what is being read: as it would be without its `Upgrade`
    _is_over = False  # nothing more of the connection is read
    _running: Any = None  # the cycle that is being answered, or was the last to be

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]  # the protocol beside it
        if self.client is not None:
            host, port = self.client
            self.client = (forwarded.plain(host), port)
            self._is_believed = not self.proxies.are_named or self.proxies.hold(host)
        elif self.server is not None and self.server[1] is not None:  # by TCP, and reset before it was accepted
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if (running := self._running) is not None and running is not self.cycle and not running.response_complete:
            running.disconnected = True  # Uvicorn tells the newest one only
            running.message_event.set()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """Uvicorn's, but for what is done about what cannot be read."""
        self._unset_keepalive_if_required()  # type: ignore[attr-defined]
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._is_read_again:
                    self.handle_websocket_upgrade()  # type: ignore[attr-defined]
                    return
                self._is_read_again = False
                data = self._without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                continue
            except httptools.HttpParserError:
                self._refuse()
            return

    def on_headers_complete(self) -> None:
        """Raises Ambiguous, which stops the parser."""
        self._judge()
        if self.parser.should_upgrade():
            if self._should_upgrade():  # type: ignore[attr-defined]
                self._judge_handshake()
            else:
                self._is_read_again = True
                return
        super().on_headers_complete()  # type: ignore[misc]
        if not self.parser.should_upgrade():
            self.headers = []  # for what comes after the body, which is no header of this request

    def on_message_complete(self) -> None:
        if not self._is_read_again:
            super().on_message_complete()  # type: ignore[misc]

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[misc]

    def _judge(self) -> None:
        if len(self.pipeline) >= _MOST_WAITING:  # reading pauses too late: all that came at once is parsed at once
            raise Ambiguous("pipeline")
        method, version, url = self.parser.get_method(), self.parser.get_http_version(), self.url
        if version not in ("1.1", "1.0"):
            raise Ambiguous("version")
        if method == b"CONNECT" or b"#" in url or not (url.startswith(b"/") or (url == b"*" and method == b"OPTIONS")):
            raise Ambiguous("target")
        host: bytes | None = None
        dropped: set[bytes] = set()
        hops: list[bytes] = []
        for name, value in self.headers:
            if name not in _WATCHED:
                if _UNDERSCORE in name:  # who makes variables of names would take it for another one
                    dropped.add(name)
            elif name == b"host":
                if host is not None or _HOST.fullmatch(value.strip(b" \t")) is None:
                    raise Ambiguous("host")
                host = value
            elif name == b"content-length":
                if len(value) > _LONGEST_LENGTH:
                    raise Ambiguous("length")
            elif name == b"transfer-encoding":
                if value.strip(b" \t").lower() != b"chunked":
                    raise Ambiguous("coding")
            elif name == b"connection":
                if value.lower() not in _USUAL:
                    dropped |= _named(value)
            elif not self._is_believed:
                dropped.add(name)
            elif name == forwarded.FOR:
                hops.append(value)
        if host is None and version != "1.0":
            raise Ambiguous("host")
        if dropped & _FRAMES:
            raise Ambiguous("name")
        if hops and self.proxies.are_named and not self.proxies.are_all:
            self._believe(hops)
        if dropped:
            self.headers[:] = [header for header in self.headers if header[0] not in dropped]

    def _believe(self, hops: list[bytes]) -> None:
        """Uvicorn takes from the header what is left of it."""
        caller = self.proxies.caller(b",".join(hops))
        self.headers[:] = [header for header in self.headers if header[0] != forwarded.FOR]
        if caller:
            self.headers.append((forwarded.FOR, caller))

    def _judge_handshake(self) -> None:
        """What becomes a WebSocket has no body, and comes when everything before it has been answered."""
        if self.parser.get_method() != b"GET" or (self.cycle is not None and not self.cycle.response_complete):
            raise Ambiguous("handshake")
        if any(_is_of_a_body(name, value) for name, value in self.headers):
            raise Ambiguous("handshake")

    def _without_upgrade(self) -> bytes:
        """The head of a request to become what is not spoken here, such as the h2c of Java's client: it is answered
        as if it had not said so. llhttp takes all that follows for that other protocol's, a body too."""
        options = b",".join(value for name, value in self.headers if name == b"connection").lower()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in _OF_UPGRADES]
        if b"close" in [option.strip() for option in options.split(b",")]:
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def _refuse(self) -> None:
        """The answer to what was being read is 400, unless it has begun. A request that came whole before is answered
        first, and is the last."""
        self._is_over = True
        newest = self.cycle
        if newest is None or newest.response_complete:
            self._say_so()
            return
        if newest.more_body and newest is self._running:
            if newest.response_started:
                self.transport.close()
            else:
                self._say_so()
            return
        if newest.more_body:  # and waits for its turn
            self.pipeline.popleft()
            newest = self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        newest.keep_alive = False

    def _say_so(self) -> None:
        message = "Invalid HTTP request received."
        self.logger.warning(message)  # type: ignore[attr-defined]
        self.send_400_response(message)  # type: ignore[attr-defined]


def _is_of_a_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0") != b"")


def _named(options: bytes) -> set[bytes]:
    """Headers that are said to be of this connection alone."""
    named = {option.strip().lower() for option in options.split(b",")} - _OPTIONS_OF_CONNECTIONS
    if named & _END_TO_END:
        raise Ambiguous("connection")
    return named
