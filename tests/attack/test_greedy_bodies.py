"""A gigabyte at a limit of ten megabytes, and JSON that is made to hurt its reader: at a gateway of its own."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from apps.domain.errors import InvalidRequest
from apps.domain.protocols import splice
from tests.attack.planes import Calls, Memory
from tests.faults.installation import Gateway, opened
from tests.faults.tenants import Tenant, open_tenant
from tests.servers import start_simulator

MIB = 1024 * 1024
LIMIT = 10 * MIB
GREED = 1024 * MIB
PIECE = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)
DIALECTS = {"/v1/messages": b'"invalid_request_error"', "/v1/chat/completions": b'"invalid_request_error"'}
PATHS = pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/sign-in/"])
DEEP = {
    "brackets": b'{"a":' + b"[" * 1_000_000,
    "objects": b'{"a":' * 1_000_000,
    "closed brackets": b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "brackets that end too early": b'{"a":' + b"[" * 900 + b"1," * 500_000 + b"1" + b"]" * 900 + b"}",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Tenant]]:
    provider = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    try:
        bound = {"WEIR_MAX_BODY_BYTES": str(LIMIT)}
        with opened(tmp_path_factory.mktemp("greedy"), provider=provider, variables=bound) as installation:
            tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**15}])
            [gateway] = installation.start()
            Calls(gateway.base_url, tenant.key).paced(0.5)  # warm
            yield gateway, tenant
    finally:
        provider.stop()


def begun(world: tuple[Gateway, Tenant], path: str, framing: str) -> socket.socket:
    gateway, tenant = world
    raw = socket.create_connection(("127.0.0.1", gateway.port))
    raw.settimeout(60)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\nx-api-key: {tenant.key}\r\n{framing}\r\n\r\n"
    )
    raw.sendall(head.encode())
    return raw


def sent_until_it_ends(raw: socket.socket) -> int:
    """Bytes that were taken of what is sent without a look at the answer."""
    sent = 0
    try:
        while sent < GREED:
            raw.sendall(PIECE)
            sent += len(PIECE)
    except OSError:
        return sent
    return sent


def status(raw: socket.socket) -> int:
    return int(raw.recv(65536).split(b" ", 2)[1])


def answered(world: tuple[Gateway, Tenant], path: str, body: bytes) -> tuple[int, bytes]:
    gateway, tenant = world
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("POST", path, body, {"x-api-key": tenant.key, "content-type": "application/json"})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


@PATHS
@pytest.mark.attack("F18")
def test_a_gigabyte_in_chunks_is_refused_early_and_little_of_it_is_held(world, path, figure):
    with Memory(world[0].pid) as memory, begun(world, path, "transfer-encoding: chunked") as raw:
        beyond = LIMIT // 65536 + 1
        for _ in range(beyond):
            raw.sendall(PIECE)
        assert status(raw) == 413
        taken = beyond * len(PIECE) + sent_until_it_ends(raw)
    assert taken < GREED / 2
    growth = (memory.most - memory.first) * 1e6 / MIB
    figure("F18", f"growth of memory by 1 GiB in chunks at {path}", growth, "MiB", most=20)
    figure("F18", f"taken of 1 GiB in chunks at {path}", taken / MIB, "MiB", most=128)


@PATHS
@pytest.mark.attack("F18")
def test_a_gigabyte_that_is_declared_is_refused_before_it_is_sent(world, path, figure):
    with begun(world, path, f"content-length: {GREED}") as raw:
        began = time.monotonic()
        assert status(raw) == 413
        figure("F18", f"until 1 GiB that is declared is refused at {path}", (time.monotonic() - began) * 1000, "ms")


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
@pytest.mark.attack("F19")
def test_what_is_too_deep_is_refused(world, path, body):
    told, answer = answered(world, path, body)
    assert (told, DIALECTS[path] in answer) == (400, True)


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.attack("F19")
def test_what_is_too_deep_costs_little(name, figure):
    taken = []
    for _ in range(5):
        began = time.thread_time()
        with pytest.raises(InvalidRequest):
            splice.read(DEEP[name])
        taken.append(time.thread_time() - began)
    figure("F19", f"a million {name}: until they are refused", min(taken) * 1000, "ms", most=5)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("digits", [20, 400, 5_000, 1_000_000])
@pytest.mark.attack("F19")
def test_a_number_of_any_length_is_refused_by_name_or_goes_on_as_it_was_written(world, path, digits):
    """Readers of numbers are quadratic in their digits; Python's gives up beyond 4,300."""
    number = "1" * digits
    good = {"model": "claude" if path == "/v1/messages" else "gpt", "messages": [{"role": "user", "content": "x"}]}
    for name in ("max_tokens", "temperature", "seed", "stream", "top_p", "messages", "metadata", "tools"):
        body = json.dumps(good | {"max_tokens": 5, name: "NUMBER"}).replace('"NUMBER"', number)
        told, answer = answered(world, path, body.encode())
        assert told in (200, 400), (name, answer[:200])
        assert told == 200 or name.encode() in answer or b"out of range" in answer, (name, answer[:200])
