"""A server that the installation names is asked strictly, and given up in time."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from apps.outbound.authority import Authority, AuthorityUnreachable
from tests.servers import until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Raw:
    """Answers each connection with the given pieces, a pause between them."""

    def __init__(self, *pieces: bytes, pause: float = 0.0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pieces, self._pause = pieces, pause
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[bytes] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(65536))
                try:
                    for piece in self._pieces:
                        connection.sendall(piece)
                        self._done.wait(self._pause)
                except OSError:
                    continue

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def ask(url: str, seconds: float = 5.0) -> tuple[int, bytes]:
    return Authority(url, seconds=seconds).ask("POST", "/v1/x", headers={"x-token": "t"}, body=b"{}")


def test_status_and_body_come_back():
    with Raw(OK) as server:
        assert ask(server.url) == (200, b"{}")
    assert server.asked[0].startswith(b"POST /v1/x HTTP/1.1\r\n")


def test_a_redirect_is_an_answer_and_is_not_followed():
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: %s/elsewhere\r\ncontent-length: 0\r\n\r\n"
    with Raw(OK) as other, Raw(moved % other.url.encode()) as server:
        assert ask(server.url)[0] == 307
        assert other.asked == []


def test_no_proxy_from_the_environment_hears_of_it(monkeypatch):
    with Raw(OK) as proxy, Raw(OK) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert ask(server.url) == (200, b"{}")
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        ((b"",), 30.0),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", *[b"x"] * 900), 0.05),
        ((b"HTTP/1.1 200 OK\r\n", *[b"x-drip: drip\r\n"] * 900), 0.05),
        ((b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 8), 0.0),
        ((b"what?\r\n\r\n",), 0.0),
    ],
    ids=["silent", "trickling", "dripping head", "endless", "no http"],
)
def test_what_is_no_answer_in_time_is_given_up(pieces, pause):
    with Raw(*pieces, pause=pause) as server:
        started = time.monotonic()
        with pytest.raises(AuthorityUnreachable, match=r"127\.0\.0\.1"):
            ask(server.url, seconds=0.3)
        assert time.monotonic() - started < 20
        until(lambda: not [thread for thread in threading.enumerate() if thread.name == "authority"])


def test_names_that_are_not_found_in_time_are_given_up(monkeypatch):
    found = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found.wait(30) and [])
    started = time.monotonic()
    with pytest.raises(AuthorityUnreachable, match="TimeoutError"):
        ask("https://vault.example.org", seconds=0.3)
    assert time.monotonic() - started < 20
    found.set()


def test_a_server_that_is_not_there_is_told():
    with Raw(OK) as server:
        pass
    with pytest.raises(AuthorityUnreachable, match="ConnectError"):
        ask(server.url)


@pytest.mark.parametrize(
    "origin",
    [
        *("http://vault.example.org", "http://10.0.0.1:8200", "http://localhost.example.org", "https://", "vault:8200"),
        *("https://a:b@vault.example.org", "https://vault.example.org/path", "https://vault.example.org?x=1"),
    ],
)
def test_an_origin_that_is_none_or_that_nothing_would_encrypt_is_refused(origin):
    with pytest.raises(ValueError):
        Authority(origin)


@pytest.mark.parametrize("origin", ["https://vault.example.org:8200", "http://localhost:1", "http://[::1]:1"])
def test_other_origins_are_taken(origin):
    assert Authority(origin).origin == origin
