"""What a client may take of a process before it has asked for anything, and while it does not take its answer.

Uvicorn waits: for a head that never ends, for a body of a byte a minute, for who reads nothing. Here each of these has
its time and its least rate, heads have a size, and connections a number, of one address and of all. None of it costs a
timer a connection or a chunk: all who wait for the same have the same time, so that they stand in one line, whose first
one is the next that is late.

When all connections are taken, the one that has waited longest without asking makes room for who comes: a healthy
caller says what it wants at once, so that it is hardly ever that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from apps.gateway.departure import LATE
from apps.runtime.measured import Counts
from gateway_site.forwarded import Proxies
from gateway_site.framing import Framing

MOST_HEADERS = 100
# For a client that does not take it: by the system, which else would hold megabytes, and by this process, to which
# each event that waits costs five times its bytes (uvloop's own record of it).
_UNSENT_BYTES, _WAITING_BYTES = 32 * 1024, 4 * 1024
_AT_ONCE = 8  # connections that are ended before others have their turn
_BREATH_SECONDS = 0.003
_PATIENCE_SECONDS = 1.0  # who is new has so long before it is the first to go
_ARRIVING, _BODY, _WHOLE = range(3)  # a head is due, or its body; all of it has come

ENDED = Counts(
    "weir_connections_ended",
    "Connections of clients that were refused or cut off, by why.",
    ("reason",),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds, bytes, bytes a second, and numbers of connections, 0: any number. `proxies`: addresses and ranges that
    may have as many as they like."""

    stall: float = 60.0  # for which a client may take nothing of its answer
    head: float = 10.0  # for a request's head, from its first byte, and of a new connection from its beginning
    head_bytes: int = 64 * 1024
    body: float = 60.0  # in each of which the least is to come of a body
    least: float = 512.0
    in_all: int = 10_000
    of_one: int = 1_024
    proxies: tuple[str, ...] = ()


class Line:
    """Connections that are late, all of them, so many seconds after they have entered."""

    def __init__(self, seconds: float, late: Callable[[Any], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._due: dict[Receiving, float] = {}  # the first is the next
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, connection: Receiving) -> None:
        loop = connection.loop
        self._due[connection] = loop.time() + self._seconds
        connection.line = self
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def leave(self, connection: Receiving) -> None:
        del self._due[connection]
        connection.line = None

    def first(self, *, for_seconds: float = 0.0) -> Receiving | None:
        """Who has been here longest, if it has for so long. Whoever is being answered is not meant: it is here for its
        next request."""
        for connection, due in self._due.items():
            if connection.loop.time() < due - self._seconds + for_seconds:
                return None
            if not connection.is_answering:
                return connection
        return None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        late = [each for each, due in itertools.islice(self._due.items(), _AT_ONCE) if due <= now]
        try:
            for connection in late:
                self.leave(connection)
                self._late(connection)
        finally:
            self._timer = None
            if self._due:
                wait = next(iter(self._due.values())) - now
                wait = _BREATH_SECONDS if len(late) == _AT_ONCE else max(wait, self._seconds / 20)  # several at once
                self._timer = loop.call_later(wait, self._look, loop)


class Crowd:
    """All connections of a server, as far as they are waited for."""

    def __init__(self, bounds: Bounds, proxies: Proxies) -> None:
        self._bounds = bounds
        self._proxies = proxies
        self.heads = Line(bounds.head, Receiving.head_is_late)
        self.bodies = Line(bounds.body, Receiving.body_is_late)
        self.idle: dict[Receiving, None] = {}  # that have had their answer; who has waited longest is the first
        self._of: Counter[bytes] = Counter()  # by who they are of

    def count(self, address: str) -> tuple[bytes | None, bool]:
        """As whose a connection of this address is counted, and whether there may be one more."""
        if not self._bounds.of_one or self._proxies.hold(address) or (who := _who(address)) is None:
            return None, True
        self._of[who] += 1
        return who, self._of[who] <= self._bounds.of_one

    def forget(self, who: bytes) -> None:
        self._of[who] -= 1
        if not self._of[who]:
            del self._of[who]

    def has_room(self, connections: int) -> bool:
        """With so many. Where there is none, somebody goes who can be spared; False: nobody can."""
        if not self._bounds.in_all or connections <= self._bounds.in_all:
            return True
        spared = self.heads.first(for_seconds=_PATIENCE_SECONDS) or next(iter(self.idle), None) or self.heads.first()
        if spared is None:
            return False
        spared.end("spared")
        return True


def _who(address: str) -> bytes | None:
    """An IPv4 address, or the /64 of an IPv6 one: whoever has one of its addresses has them all. None: a path."""
    try:
        return ipaddress.ip_address(address).packed[:8]
    except ValueError:
        return None


class Stalling:
    """For Uvicorn's protocols: cuts a client off that takes less than the least for `stall` seconds. Uvicorn would wait
    for ever: for who stops reading in the middle of a stream, and in its `close` for who never takes the end of an
    answer, which only the system sees."""

    bounds: Bounds
    transport: asyncio.Transport
    _stall: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        with contextlib.suppress(AttributeError, OSError):  # Linux only; not on a Unix socket
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self.bounds.stall * 1000))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        transport.set_write_buffer_limits(high=_WAITING_BYTES)
        super().connection_made(transport)  # type: ignore[misc]  # the protocol beside it

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]  # the protocol beside it
        self._watch()

    def resume_writing(self) -> None:
        self._unwatch()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)  # type: ignore[misc]

    def _watch(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._stall = asyncio.get_running_loop().call_later(self.bounds.stall, self._check)

    def _unwatch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _check(self) -> None:
        taken = self._unsent - self.transport.get_write_buffer_size()
        if taken >= max(1, self.bounds.least * self.bounds.stall):
            self._watch()  # slow, but reading
        else:
            ENDED.add(("stalled",))
            self.transport.abort()


class Receiving:
    """For Uvicorn's protocols: ends what does not become a request in time, is too large before it is one, or is one
    connection too many. `crowd` is the server's."""

    bounds: Bounds
    crowd: Crowd
    loop: asyncio.AbstractEventLoop
    line: Line | None = None  # in which it stands
    # Uvicorn's own.
    transport: asyncio.Transport
    connections: set[Any]
    client: tuple[str, int] | None
    cycle: Any
    flow: Any
    headers: list[tuple[bytes, bytes]] | None
    scope: dict[str, Any]
    url: bytes
    _stage = _ARRIVING
    _arrived = 0  # bytes of the head, or of the body since it was last looked at
    _of: bytes | None = None
    _is_too_large = False
    # Framing's.
    _is_over: bool
    _running: Any
    _refuse: Callable[[], None]

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]  # the protocol beside it
        if transport.is_closing():
            return
        may = True
        if self.client is not None:
            self._of, may = self.crowd.count(self.client[0])
        if not may:
            self.end("address", 429, "Too many connections from this address.")
        elif not self.crowd.has_room(len(self.connections)):
            self.end("total", 503, "Too many connections.")
        else:
            self.crowd.heads.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        if self._is_over or self.transport.is_closing():
            return
        if self._stage == _WHOLE:  # the first byte of what comes next, whatever it is
            self._stage, self._arrived = _ARRIVING, 0
        self._arrived += len(data)
        super().data_received(data)  # type: ignore[misc]
        if self._stage == _WHOLE or self._is_over:
            if self.line is not None:
                self.line.leave(self)
        elif not self.transport.is_closing():
            self._wait()

    def on_headers_complete(self) -> None:
        # What came with the head may be its body: then it is counted out. That is seldom.
        if len(self.headers or ()) > MOST_HEADERS or (
            self._arrived > self.bounds.head_bytes and self._head_bytes() > self.bounds.head_bytes
        ):
            self._is_too_large = True
            raise ValueError("the head is too large")  # which stops the parser
        self._stage, self._arrived = _BODY, 0
        self.crowd.idle.pop(self, None)
        super().on_headers_complete()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._stage = _WHOLE
        super().on_message_complete()  # type: ignore[misc]

    def on_response_complete(self) -> None:
        super().on_response_complete()  # type: ignore[misc]
        if self.transport.is_closing():
            return
        if self.cycle.response_complete:
            self.crowd.idle[self] = None
        elif self.line is self.crowd.bodies:  # one has waited for its turn, and was not read meanwhile
            self.line.leave(self)
            self._arrived = 0
            self.crowd.bodies.enter(self)

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            message = f"The head of a request may have {MOST_HEADERS} fields and {self.bounds.head_bytes} bytes."
            self.end("size", 431, message)
        else:
            super().send_400_response(msg)  # type: ignore[misc]

    def handle_websocket_upgrade(self) -> None:
        """From here on it is another protocol's, which counts among all connections, and has its own bounds."""
        self._leave()
        super().handle_websocket_upgrade()  # type: ignore[misc]

    def head_is_late(self) -> None:
        if self.is_answering:
            self.crowd.heads.enter(self)  # the one before it is being answered, and that has its own time
        elif self.scope is not (None if self.cycle is None else self.cycle.scope):  # more than line ends has come
            self.end("head", 408, "The head of the request came too slowly.")
        else:
            self.end("head")

    def body_is_late(self) -> None:
        is_in_line = self.is_answering and self.cycle is not self._running  # behind another one, which has its time
        if is_in_line or self._is_ours_to_take() or self._arrived >= self.bounds.least * self.bounds.body:
            self._arrived = 0
            self.crowd.bodies.enter(self)
        elif not self.is_answering:
            self.end("body")
        elif (late := self.scope["state"].get(LATE)) is not None:
            ENDED.add(("body",))
            late()
        else:
            self.end("body", 408, "The body of the request came too slowly.")

    def end(self, reason: str, status: int = 0, message: str = "") -> None:
        """At once; with `status`, its client is told why."""
        self._leave()
        if self.transport.is_closing():  # and has not come to it
            self.transport.abort()
            return
        ENDED.add((reason,))
        if status:
            self.transport.write(_answer(status, message))
        self.transport.close()

    def _wait(self) -> None:
        """More is to come."""
        if self._stage == _BODY:
            if self.line is not self.crowd.bodies:
                if self.line is not None:
                    self.line.leave(self)
                self.crowd.bodies.enter(self)
            if len(self.headers or ()) > MOST_HEADERS:  # trailers are added to them
                self._refuse_as_too_large()
        elif self._arrived > self.bounds.head_bytes or len(self.headers or ()) > MOST_HEADERS:
            self._refuse_as_too_large()
        elif self.line is not self.crowd.heads:
            if self.line is not None:
                self.line.leave(self)
            self.crowd.heads.enter(self)

    def _leave(self) -> None:
        if self.line is not None:
            self.line.leave(self)
        self.crowd.idle.pop(self, None)
        if self._of is not None:
            self.crowd.forget(self._of)
            self._of = None

    def _is_ours_to_take(self) -> bool:
        """It is we who take the time, or it has its answer already."""
        if not self.is_answering:
            return False
        return bool(self.flow.read_paused or self.cycle.waiting_for_100_continue or self.cycle.response_started)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers or ())

    @property
    def is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse_as_too_large(self) -> None:
        self._is_too_large = True
        if self.line is not None:
            self.line.leave(self)
        self._refuse()


def _answer(status: int, message: str) -> bytes:
    """In a form that clients of every dialect find a message in. Who has one connection too many may come again."""
    kind = "overloaded_error" if status in (429, 503) else "invalid_request_error"
    body = msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    again = "retry-after: 1\r\n" if status in (429, 503) else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{again}connection: close\r\n\r\n"
    )
    return head.encode() + body


def protocol(bounds: Bounds) -> type[asyncio.Protocol]:
    """One server's: its connections are counted together."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    proxies = Proxies(bounds.proxies)
    parts = (Receiving, Stalling, Framing, HttpToolsProtocol)
    return type("ClientProtocol", parts, {"bounds": bounds, "crowd": Crowd(bounds, proxies), "proxies": proxies})
