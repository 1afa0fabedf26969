"""Requests that follow one another: how many connections they make, and what becomes of one that was closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.outbound.documents import Reply, Unavailable
from apps.outbound.lines import Line

LOCAL = ("127.0.0.0/8",)


class Server:
    """Keeps connections open. `hangs_up`: closes each after its answer and does not say so; `is_silent`: before it."""

    def __init__(self) -> None:
        self.connections = 0
        self.heard: list[bytes] = []
        self.answer = b"thank you"
        self.hangs_up = self.is_silent = False
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                told.connections += 1

            def do_POST(self) -> None:
                told.heard.append(self.rfile.read(int(self.headers["content-length"])))
                if not told.is_silent:
                    self.send_response(200)
                    self.send_header("content-length", str(len(told.answer)))
                    self.end_headers()
                    self.wfile.write(told.answer)
                self.close_connection = told.hangs_up or told.is_silent

            def log_message(self, *arguments: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(ConnectionError):  # it was long, and nobody read it
                    super().handle()

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), told.handler()) as serving:
        told.url = f"http://127.0.0.1:{serving.server_port}/"
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield told
        serving.shutdown()
        thread.join()


def post(line: Line, server: Server, body: bytes = b"x") -> Reply:
    return line.ask("POST", server.url, headers={}, body=body, seconds=10, most=0)


@pytest.mark.parametrize("answer", [b"", b"thank you"])
def test_one_connection_serves_what_follows(server, answer):
    server.answer = answer
    with Line(LOCAL) as line:
        assert [post(line, server).status for _ in range(20)] == [200] * 20
    assert server.connections == 1


def test_an_answer_that_is_long_is_not_read_for_the_sake_of_a_connection(server):
    server.answer = b"x" * 5_000_000
    with Line(LOCAL) as line:
        assert [post(line, server).status for _ in range(2)] == [200] * 2
    assert server.connections == 2


def test_what_goes_beside_each_other_has_connections_of_its_own(server):
    with Line(LOCAL) as line, ThreadPoolExecutor(4) as threads:
        assert {reply.status for reply in threads.map(lambda _: post(line, server), range(40))} == {200}
    assert server.connections <= 4


def test_one_that_was_closed_meanwhile_is_made_anew(server):
    server.hangs_up = True
    with Line(LOCAL) as line:
        assert [post(line, server, b"%d" % n).status for n in range(10)] == [200] * 10
    assert server.heard == [b"%d" % n for n in range(10)]


def test_a_new_one_that_hangs_up_is_not_asked_again(server):
    server.is_silent = True
    with Line(LOCAL) as line, pytest.raises(Unavailable, match="unreachable"):
        post(line, server)
    assert len(server.heard) == 1


def test_one_that_served_and_then_hangs_up_is_asked_once_more(server):
    with Line(LOCAL) as line:
        post(line, server, b"first")
        server.is_silent = True
        with pytest.raises(Unavailable, match="unreachable"):
            post(line, server, b"second")
    assert server.heard == [b"first", b"second", b"second"]


def test_addresses_that_are_not_opened_are_refused(server):
    with Line(()) as line, pytest.raises(Unavailable, match="address refused"):
        post(line, server)
    assert server.connections == 0
