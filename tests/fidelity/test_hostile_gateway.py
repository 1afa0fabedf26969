"""Hostile upstreams behind the real gateway: callers get an answer or their dialect's error, the books stay sane, the
log holds no crash and the process keeps its size."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fidelity import callers, calls, seed
from tests.fidelity.streams import PLAIN, PROTOCOLS
from tests.fidelity.test_hostile_streams import ABSURD, COUNTS, GOOD, _counting, _written
from tests.fidelity.upstream import Answer, Upstream
from tests.sdk.gateways import Gateway
from tests.servers import until

MODELS = {protocol: name for name, (protocol, _) in seed.MODELS.items()}
PAIRS = pytest.mark.parametrize(("client", "upstream_protocol"), callers.PAIRS)
COUNTERS = "in_fresh, in_cache_read, in_cache_write_5m, in_cache_write_1h, out_total"
HUGE = 100 << 20
ROOM = 48 << 20


@pytest.fixture
def calm(gateway: Gateway) -> Iterator[None]:
    """That nothing crashes inside."""
    yield
    output = gateway.process.output()
    assert "Traceback" not in output
    assert "gateway.failed" not in output


def ask(http: httpx2.Client, gateway: Gateway, client: str, model: str, *, stream: bool = True) -> httpx2.Response:
    headers = {"x-api-key": gateway.key, "content-type": "application/json"}
    return http.post(calls.PATHS[client], content=calls.body(client, model=model, stream=stream), headers=headers)


def bad(upstream_protocol: str) -> dict[str, bytes]:
    good = GOOD[upstream_protocol]
    return {
        "HTML": b"<!DOCTYPE html>\n<html><body>\n\n<h1>502</h1></body></html>\n",
        "nothing": b"",
        "gzip": gzip.compress(good, mtime=0),
        "garbage": b"\x00\xff\r\n\r\n" * 99,
        "an error": b'{"error":{"message":"The model is overloaded.","type":"server_error"}}',
        "half": good[: len(good) // 2],
        "a hole": good[: len(good) // 3] + b"\x00\xff" + good[len(good) // 3 + 9 :],
    }


@PAIRS
def test_no_upstream_makes_the_gateway_fail(gateway, http, upstream: Upstream, calm, client, upstream_protocol):
    model = MODELS[upstream_protocol]
    for body in bad(upstream_protocol).values():
        for stream in (True, False):
            upstream.answer = Answer(200, "text/html", (body,) if body else ())
            response = ask(http, gateway, client, model, stream=stream)
            if response.status_code == 200:
                assert stream
                if (client, upstream_protocol) not in callers.RELAYED:
                    callers.read(client, response.content)
                continue
            error = response.json()["error"]
            assert 400 <= response.status_code < 600
            assert error["message"]
            assert "internal" not in error["message"].lower(), error


@pytest.mark.parametrize("upstream_protocol", PROTOCOLS)
def test_no_absurd_count_comes_into_the_books(gateway, http, upstream: Upstream, calm, upstream_protocol):
    identifiers = []
    for count in ABSURD:
        counts: dict[str, Any] = dict.fromkeys(COUNTS[upstream_protocol], count)
        events = [(kind, _counting(data, counts)) for kind, data in PROTOCOLS[upstream_protocol].events(PLAIN)]
        upstream.answer = Answer(200, "text/event-stream", (_written(upstream_protocol, events),))
        response = ask(http, gateway, "anthropic_messages", MODELS[upstream_protocol])
        assert response.status_code == 200
        identifiers.append(response.headers["request-id"].removeprefix("req_"))
    for identifier in identifiers:
        row = until(lambda identifier=identifier: _row(gateway, identifier))
        assert all(0 <= number < 100_000 for number in row), row


def _row(gateway: Gateway, identifier: str) -> tuple[int, ...] | None:
    with contextlib.closing(sqlite3.connect(gateway.database)) as database:
        found: tuple[int, ...] | None = database.execute(
            f"SELECT {COUNTERS} FROM usage_entry WHERE request_id = ?", (identifier,)
        ).fetchone()
    return found


@pytest.mark.parametrize("client", ["anthropic_messages", "openai_chat"])
@pytest.mark.parametrize("upstream_protocol", PROTOCOLS)
def test_a_line_without_end_does_not_grow_the_process(gateway, http, upstream, calm, client, upstream_protocol):
    protocol = PROTOCOLS[upstream_protocol]
    first = protocol.write(protocol.events(PLAIN)[0])
    piece = b"x" * (1 << 20)
    upstream.answer = Answer(200, "text/event-stream", (first, b'data: {"x":"', *[piece] * (HUGE // len(piece))))
    before = _most_memory(gateway)
    headers = {"x-api-key": gateway.key, "content-type": "application/json"}
    body = calls.body(client, model=MODELS[upstream_protocol], stream=True)
    last = b""
    with http.stream("POST", calls.PATHS[client], content=body, headers=headers) as response:
        for part in response.iter_bytes():
            last = (last + part)[-2000:]
    assert b"error" in last
    assert _most_memory(gateway) - before < ROOM


def _most_memory(gateway: Gateway) -> int:
    """Bytes that it has ever had, as the kernel counts them."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
