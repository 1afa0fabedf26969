"""Who is told: a receiver of webhooks and a mail server, each a real one on a socket."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Heard(NamedTuple):
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers with `statuses` in turn, then with 204; `judge` gives another status for what it is about. `meanwhile` is
    called before it answers; `retry_after` stands in every answer."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.statuses: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.judge: Callable[[Heard], int] = lambda _: 0
        self.retry_after = ""
        self.url = ""


class MailServer:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.port = 0


@contextlib.contextmanager
def _serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.heard.append(Heard(headers, self.rfile.read(length)))
            told.meanwhile()
            status = told.statuses.pop(0) if told.statuses else told.judge(told.heard[-1]) or 204
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            if told.retry_after:
                self.send_header("retry-after", told.retry_after)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        told.url = f"http://127.0.0.1:{server.server_port}/hook"
        yield told


@contextlib.contextmanager
def saying(answer: str) -> Iterator[Receiver]:
    """One that says just this, whatever it is told, and then nothing, but does not hang up."""
    told, is_over = Receiver(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.wfile.write(answer.encode())
            self.wfile.flush()
            is_over.wait(60)
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        told.url = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield told
        finally:
            is_over.set()


@contextlib.contextmanager
def mail_server() -> Iterator[MailServer]:
    """As much SMTP as one message needs."""
    kept = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"QUIT":
                    self.say("221 bye")
                    return
                if verb == b"EHLO":
                    self.say("250-here")
                    self.say("250 AUTH PLAIN")
                    continue
                if verb == b"AUTH":
                    self.say("235 come in")
                    continue
                if verb == b"DATA":
                    self.say("354 go on")
                    kept.mails.append(self.message())
                self.say("250 ok")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def message(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.removeprefix(b"."))
            found = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(found, EmailMessage)
            return found

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as server:
        kept.port = server.server_address[1]
        yield kept
