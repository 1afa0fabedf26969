"""Connecting and nothing else, to all that can be wrong with a port; and the same asked for its list of models."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.outbound.guard import AddressRefused
from apps.outbound.probe import probe
from apps.outbound.reach import certificate_ends, reach
from tests.outbound.test_tls import certificate

NEAR = ["127.0.0.0/8"]
Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Hands each connection to a function; returns the port."""
    with contextlib.ExitStack() as stack:

        def serving(answer: Callable[[socket.socket], None]) -> int:
            listener = stack.enter_context(socket.create_server(("", 0)))

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with contextlib.suppress(OSError), connection:
                            answer(connection)

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            port: int = listener.getsockname()[1]
            return port

        yield serving


def says(text: str) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text.replace("\n", "\r\n").encode())

    return answer


def hangs(connection: socket.socket) -> None:
    connection.settimeout(5)
    while connection.recv(65536):
        pass


def resets(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def drips(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    connection.settimeout(0.05)
    for _ in range(100):
        connection.sendall(b" ")
        with contextlib.suppress(TimeoutError):
            if not connection.recv(65536):
                return


@pytest.mark.parametrize(
    ("answer", "url", "told"),
    [
        (hangs, "http://127.0.0.1:{}", "not finish"),
        (drips, "http://127.0.0.1:{}", "not finish"),
        (resets, "http://127.0.0.1:{}", "dropped"),
        (says("no HTTP at all\n\n"), "http://127.0.0.1:{}", "not valid HTTP"),
        (says("HTTP/1.1 200 OK\n\n"), "https://127.0.0.1:{}", "TLS"),
        (
            says("HTTP/1.1 302 Found\nlocation: http://127.0.0.1:9/\ncontent-length: 0\n\n"),
            "http://127.0.0.1:{}",
            "302",
        ),
        (says("HTTP/1.1 200 OK\ncontent-length: 13\n\n<html></html>"), "http://127.0.0.1:{}", "not a list of models"),
        (says('HTTP/1.1 200 OK\ncontent-length: 9\n\n{"data":['), "http://127.0.0.1:{}", "not a list of models"),
        (says("HTTP/1.1 200 OK\ncontent-length: 0\n\n"), "http://127.0.0.1:{}", "not a list of models"),
        (hangs, "http://nobody.invalid:{}", "resolved"),
    ],
)
def test_what_is_no_list_of_models_is_told_for_what_it_is(serve: Serve, answer, url: str, told: str) -> None:
    result = probe(
        vendor="openai_compatible",
        protocol="openai_chat",
        base_url=url.format(serve(answer)),
        secret="",
        private_networks=NEAR,
        seconds=0.4,
    )
    assert not result.ok
    assert told in result.message
    assert result.milliseconds < 3000


def test_a_port_that_takes_connections_is_reached_and_told_nothing(serve: Serve) -> None:
    heard: list[bytes] = []
    heard_it = threading.Event()

    def listen(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            heard.append(connection.recv(100))
        heard_it.set()

    result = reach(f"http://127.0.0.1:{serve(listen)}/v1", private_networks=NEAR)
    assert (result.ok, result.status, result.message) == (True, 0, "The provider takes connections.")
    assert heard_it.wait(5)
    assert b"".join(heard) == b""


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_certificate_is_judged(serve: Serve, tmp_path: Path, is_trusted: bool) -> None:
    inside = certificate(tmp_path, host="provider.test")
    outside = ssl.create_default_context(cafile=str(tmp_path / "cert.pem")) if is_trusted else None

    def shake(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), inside.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    result = reach(f"https://127.0.0.9:{serve(shake)}", private_networks=NEAR, tls=outside)
    assert result.ok is is_trusted
    assert ("TLS is good" if is_trusted else "could not be trusted") in result.message


def test_when_a_certificate_ends_is_asked_of_nobody_who_may_not_be_called(serve: Serve, tmp_path: Path) -> None:
    inside = certificate(tmp_path, host="provider.test")
    trusts = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    def shake(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), inside.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    url = f"https://127.0.0.9:{serve(shake)}"
    assert certificate_ends(url, private_networks=NEAR, tls=trusts) > time.time()
    with pytest.raises(AddressRefused):
        certificate_ends(url, private_networks=[], tls=trusts)
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate_ends(f"https://127.0.0.9:{serve(shake)}", private_networks=NEAR)


@pytest.mark.parametrize(
    ("url", "networks", "told"),
    [
        ("http://127.0.0.1:{}", [], "may not be called"),
        ("http://localhost:{}", [], "may not be called"),
        ("http://169.254.169.254:{}", ["169.254.0.0/16"], "may not be called"),
        ("http://nobody.invalid:{}", NEAR, "could not be resolved"),
        ("https://127.0.0.1:{}", NEAR, "in time"),
    ],
)
def test_what_cannot_be_reached_is_told_for_what_it_is(serve: Serve, url: str, networks: list[str], told: str) -> None:
    result = reach(url.format(serve(hangs)), private_networks=networks, seconds=0.4)
    assert (result.ok, told in result.message) == (False, True), result.message


def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = reach(f"http://127.0.0.1:{port}", private_networks=NEAR)
    assert (result.ok, result.message) == (False, "The provider refused the connection.")
