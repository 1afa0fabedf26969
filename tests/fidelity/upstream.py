"""A provider that replays given bytes in given pieces, and keeps every byte of the requests it got."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

DEADLINE = 30.0


@dataclass(frozen=True)
class Answer:
    """`pieces` go out one by one, each a chunk of its own; the `later` ones when the caller has the first."""

    status: int = 200
    media: str = "application/json"
    pieces: tuple[bytes, ...] = ()
    later: tuple[bytes, ...] = ()
    begun: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Request:
    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Upstream:
    """`answer` is given to every request until another takes its place."""

    answer: Answer = field(default_factory=Answer)
    heard: list[Request] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving() -> Iterator[Upstream]:
    upstream = Upstream()

    class Visit(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := self._read():
                upstream.heard.append(request)
                self._write(upstream.answer)

        def _read(self) -> Request | None:
            line = self.rfile.readline().decode("latin-1").strip()
            headers = []
            while line and (raw := self.rfile.readline().rstrip(b"\r\n")):
                name, _, value = raw.decode("latin-1").partition(":")
                headers.append((name, value.strip()))
            if not line:
                return None
            lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
            return Request(line, headers, self.rfile.read(lengths[0]) if lengths else b"")

        def _write(self, answer: Answer) -> None:
            head = f"HTTP/1.1 {answer.status} As Replayed\r\ncontent-type: {answer.media}\r\n"
            self.wfile.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
            self._say(answer.pieces)
            if answer.later:
                assert answer.begun.wait(DEADLINE), "the first event did not arrive by itself"
            self._say(answer.later)
            self.wfile.write(b"0\r\n\r\n")

        def _say(self, pieces: tuple[bytes, ...]) -> None:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A gateway that had enough hangs up."""

    with Server(("127.0.0.1", 0), Visit) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        upstream.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield upstream
        server.shutdown()
