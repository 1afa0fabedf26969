"""Bodies that do not come, or byte by byte: given up in the caller's dialect, at no cost."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from tests.gateway.calls import ANTHROPIC, OPENAI, body_of
from tests.gateway.sockets import rest
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F16")]
BOTH = pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
PIECES = 150
KIND = {ANTHROPIC: b'"type":"error"', OPENAI: b'"param":null'}


@pytest.fixture
def hurried(settings, request):
    settings.WEIR_BODY_SECONDS = 0.5
    settings.WEIR_MIN_BYTES_PER_SECOND = 100
    return request.getfixturevalue("gateway")


def begin(gateway, path: str, framing: str) -> socket.socket:
    raw = socket.create_connection((gateway.host, gateway.port))
    raw.settimeout(10)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {gateway.world.key}\r\n"
    raw.sendall(f"{head}{framing}\r\n\r\n".encode())
    return raw


@BOTH
@pytest.mark.usefixtures("hurried", "costs_nothing")
def test_a_body_that_does_not_go_on_is_given_up(hurried, path):
    for framing, begun in (("content-length: 50", b""), ("transfer-encoding: chunked", b'5\r\n{"a":\r\n')):
        with begin(hurried, path, framing) as raw:
            raw.sendall(begun)
            answer = rest(raw, end=b"never")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"request body" in answer
        assert KIND[path] in answer


@pytest.mark.usefixtures("hurried", "costs_nothing")
def test_bytes_now_and_then_keep_no_body_alive(hurried):
    with begin(hurried, ANTHROPIC, "content-length: 1000000") as raw:
        sent = 0

        def is_cut() -> bool:
            nonlocal sent
            with contextlib.suppress(OSError):
                sent += raw.send(b" ")
            raw.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                return raw.recv(100).startswith(b"HTTP/1.1 408 ")
            return False

        until(is_cut)
    assert 2 < sent < 2_000


def test_a_body_that_keeps_coming_may_take_several_times_as_long(hurried):
    body = b" " * PIECES * 100 + body_of(ANTHROPIC)
    with begin(hurried, ANTHROPIC, f"content-length: {len(body)}\r\nconnection: close") as raw:
        for piece in range(PIECES):
            raw.sendall(body[piece * 100 : piece * 100 + 100])
            time.sleep(0.01)  # the client's own pace
        raw.sendall(body[PIECES * 100 :])
        assert rest(raw, end=b"never").startswith(b"HTTP/1.1 200 ")
