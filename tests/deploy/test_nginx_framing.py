"""nginx as `deploy/nginx` has it, before Weir's own protocol: what the two of them read is the same."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.deploy import front, tools
from tests.gateway.framings import LAST, READ, REFUSED, SMUGGLED
from tests.gateway.wire import Wire

pytestmark = pytest.mark.attack("F20")
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_FORGED = b"x-forwarded-for: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nx-forwarded-host: y\r\n"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    running = Wire(proxies=["127.0.0.1"])
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def before(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[front.Front]:
    tools.find("nginx")
    address = f"127.0.0.1:{wire.port}"
    folder = tmp_path_factory.mktemp("site") / "nginx"
    with front.running(folder, gateways=[address, address], pages=address) as running:
        yield running


def answers(before: front.Front, sent: bytes) -> list[bytes]:
    """As nginx gives them, until it closes or says that it will: it waits for what a client may have to say yet."""
    port = int(before.https.rpartition(":")[2])
    found: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with before.trust.wrap_socket(plain, server_hostname="localhost") as raw:
            raw.sendall(sent)
            rest = b""
            while True:
                while b"\r\n\r\n" not in rest:
                    if not (chunk := raw.recv(65536)):
                        return found
                    rest += chunk
                head, _, rest = rest.partition(b"\r\n\r\n")
                length = int(told[1]) if (told := _LENGTH.search(head + b"\r\n")) else 0
                while len(rest) < length:
                    rest += raw.recv(65536)
                found.append(head + b"\r\n\r\n" + rest[:length])
                rest = rest[length:]
                if b"connection: close" in head.lower():
                    return found


@pytest.mark.parametrize("path", [b"/v1/messages", b"/a"], ids=["calls", "pages"])
def test_what_nginx_passes_on_weir_reads_as_it_was_meant(before, wire, path):
    """Each request that Weir sees is answered to who sent it: one that stood in another's body would have its answer
    left over."""
    cases = {**REFUSED, **{name: sent for name, (sent, _) in {**READ, **LAST}.items()}}
    seen = 0
    for name, sent in cases.items():
        wire.asked.clear()
        written = (sent + SMUGGLED).replace(b"host: x\r\n", b"host: localhost\r\n").replace(b" /a ", b" " + path + b" ")
        got = [answer.partition(b"\r\n\r\n") for answer in answers(before, written)]
        passed = [body.decode() for head, _, body in got if head.startswith(b"HTTP/1.1 200")]
        assert [each.path for each in wire.asked] == passed, name
        assert passed.count("/smuggled") <= 1, name
        seen += len(passed)
        if name in READ and "chunk" not in name and "upgrade" not in name:
            assert passed[:1] == [path.decode()] or got[0][0].startswith((b"HTTP/1.1 4", b"HTTP/1.1 100")), name
    assert seen > len(READ)


def test_what_a_caller_says_of_itself_is_replaced(before, wire):
    wire.asked.clear()
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" + _FORGED + b"\r\n"
    assert len(answers(before, request)) == 1
    (asked,) = wire.asked
    headers = dict(asked.headers)
    assert (asked.client[0], asked.scheme) == ("127.0.0.1", "https")
    assert headers[b"x-forwarded-for"] == b"127.0.0.1"
    assert not {b"forwarded", b"x-forwarded-host", b"x_forwarded_for"} & headers.keys()
