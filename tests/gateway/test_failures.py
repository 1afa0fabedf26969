"""Upstreams that fail: who is told what, what is tried next, and what is booked."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from apps.runtime import failpoints
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of, frames
from tests.gateway.sockets import call, leave, read_until
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@contextlib.contextmanager
def declining() -> Iterator[str]:
    """Says under status 200, in either dialect and streaming or not, that it is overloaded."""

    class Visit(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told = {"error": {"type": "overloaded_error", "code": "overloaded", "message": "Overloaded"}}
            kind, body = "application/json", json.dumps({"type": "error", **told})
            if asked.get("stream"):
                before = (
                    'event: ping\ndata: {"type":"ping"}\n\nevent: error\n'
                    if self.path.endswith("messages")
                    else ": hello\n\n"
                )
                kind, body = "text/event-stream", f"{before}data: {body}\n\n"
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visit) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def entries(gateway):
    gateway.settle()
    return list(Entry.objects.order_by("id"))


@pytest.mark.parametrize(
    ("behaviour", "anthropic", "openai"),
    [
        ("429", (429, "rate_limit_error"), 429),
        ("500", (502, "api_error"), 502),
        ("529", (529, "overloaded_error"), 503),
        ("401", (502, "api_error"), 502),
        ("403", (502, "api_error"), 502),
        ("garbage", (502, "api_error"), 502),
        ("html-200", (502, "api_error"), 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_failure_is_told_in_the_callers_dialect(gateway, world, behaviour, anthropic, openai, stream):
    world.scripted(behaviour)
    world.scripted(f"{behaviour}-too")  # for what a provider has said of the first one's credential
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model=f"claude-{behaviour}", change={"stream": stream})
    assert (response.status_code, response.json()["error"]["type"]) == anthropic
    assert ask(gateway, OPENAI, model=f"claude-{behaviour}-too", change={"stream": stream}).status_code == openai
    rows = entries(gateway)
    assert len(rows) == 2
    assert all(row.status in ("upstream_error", "upstream_broken") for row in rows)


def test_a_refusal_of_the_same_dialect_is_relayed_unmodified(gateway, world, simulator):
    world.scripted("400")
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model="claude-400")
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    (row,) = entries(gateway)
    assert (row.state, row.cost_nano, row.http_status) == ("void", 0, 400)


def test_context_overflow_is_restated_in_the_callers_words(gateway, world):
    world.scripted("overflow")
    gateway.refresh()
    anthropic = ask(gateway, ANTHROPIC, model="claude-overflow").json()["error"]
    assert "prompt is too long" in anthropic["message"]
    openai = ask(gateway, OPENAI, model="claude-overflow")
    assert openai.status_code == 400
    assert openai.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("behaviour", ["429", "500", "529", "401", "garbage", "dies-after-0-chunks"])
def test_the_next_deployment_answers_when_the_first_fails_before_its_first_byte(gateway, world, behaviour):
    world.fallback("claude-two", first=behaviour)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model="claude-two", change={"stream": True})
    assert response.status_code == 200
    assert frames(response.text)[-1][0] == "message_stop"
    rows = entries(gateway)
    assert [row.attempt for row in rows] == [1, 2]
    assert rows[0].status != "ok"
    assert rows[1].status == "ok"


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("behaviour", ["dies-after-3-chunks", "no-terminator"])
def test_a_stream_that_dies_ends_in_one_error_and_is_booked(gateway, world, path, behaviour):
    world.scripted(behaviour)
    gateway.refresh()
    response = ask(gateway, path, model=f"claude-{behaviour}", change={"stream": True})
    assert response.status_code == 200
    events = frames(response.text)
    if path == ANTHROPIC:
        assert events[-1][0] == "error"
        assert "message_stop" not in [name for name, _ in events]
    else:
        assert events[-1][1] == "[DONE]"
        assert "error" in events[-2][1]
        chunks = [data for _, data in events if data != "[DONE]" and data.get("choices")]
        assert not any(chunk["choices"][0].get("finish_reason") for chunk in chunks)
    (row,) = entries(gateway)
    assert row.status in ("upstream_broken", "upstream_error")
    assert row.usage_source == "estimated"
    assert row.cost_nano > 0


def test_an_error_event_is_told_by_status_or_as_the_last_frame(gateway, world):
    """By status when it arrives together with the stream's first bytes: then nothing has gone out yet."""
    world.scripted("error-after-3")
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model="claude-error-after-3", change={"stream": True})
    told = response.json() if response.status_code != 200 else frames(response.text)[-1][1]
    assert told["error"]["type"] == "overloaded_error"
    assert "message_stop" not in response.text
    (row,) = entries(gateway)
    assert row.status == "upstream_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude-declining", "gpt-declining"])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_an_error_under_status_200_in_the_place_of_an_answer_costs_nothing(gateway, world, path, model, stream):
    with declining() as url:
        world.deploy(model, upstream="m", url=url)
        world.budget(key=world.key_row, amount=2_000_000)  # less than two reservations
        gateway.refresh()
        for _ in range(3):
            response = ask(gateway, path, model=model, change={"stream": stream, "max_tokens": 64})
            assert response.status_code == (529 if path == ANTHROPIC else 503), response.text
    rows = entries(gateway)
    assert {(row.status, row.state, row.cost_nano, row.high_nano) for row in rows} == {("upstream_error", "void", 0, 0)}


@pytest.mark.parametrize("name", ["claude", "gpt"])
def test_the_next_deployment_answers_when_the_first_begins_with_an_error(gateway, world, name):
    path, model = (ANTHROPIC, "claude-two") if name == "claude" else (OPENAI, "gpt-two")
    with declining() as url:
        first = world.deploy(model, upstream="m", url=url)
        world.deploy(model, upstream=f"{name}-upstream", model=first.model, priority=1)
        gateway.refresh()
        response = ask(gateway, path, model=model, change={"stream": True})
    assert response.status_code == 200
    assert [(row.status, row.state) for row in entries(gateway)] == [("upstream_error", "void"), ("ok", "settled")]


def test_a_stalled_upstream_times_out_and_stays_unconfirmed(gateway, world):
    world.scripted("stall", first_byte_timeout=0.3)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model="claude-stall")
    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    (row,) = entries(gateway)
    assert (row.status, row.state) == ("timeout", "unconfirmed")
    assert (row.low_nano, row.high_nano) == (0, row.reserved_nano)


def test_an_idle_stream_times_out_with_an_error_frame(gateway, world):
    world.scripted("stall-after-3", idle_timeout=0.3)
    gateway.refresh()
    response = ask(gateway, ANTHROPIC, model="claude-stall-after-3", change={"stream": True})
    name, data = frames(response.text)[-1]
    assert (name, data["error"]["type"]) == ("error", "timeout_error")


def test_a_missing_upstream_costs_nothing(gateway, world):
    world.unreachable("claude-nobody")
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="claude-nobody").status_code == 502
    (row,) = entries(gateway)
    assert row.status == "upstream_broken"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("leave", ["fin", "rst"])
def test_a_client_that_leaves_stops_the_upstream_soon_and_is_booked(gateway, world, simulator, stream, leave):
    behaviour = "stall-after-3" if stream else "stall"
    world.scripted(behaviour)
    gateway.refresh()
    before = len(simulator.readings())
    body = body_of(ANTHROPIC, model=f"claude-{behaviour}", change={"stream": stream})
    raw = socket.create_connection((gateway.host, gateway.port))
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {world.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    raw.sendall(head.encode() + body)
    until(lambda: len(simulator.readings()) > before)
    if stream:
        assert b"200" in raw.recv(65536)
    if leave == "rst":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    left = time.monotonic()
    raw.close()
    until(lambda: simulator.readings()[-1].outcome != "open")
    assert time.monotonic() - left < 10  # a second, on a machine that does nothing else; the stall has no end
    (row,) = entries(gateway)
    assert row.status == "client_gone"
    assert row.state == ("settled" if stream else "unconfirmed")


def test_a_provider_that_bills_anyway_is_heard_out(gateway, world, simulator):
    world.scripted("long", on_disconnect="drain")
    gateway.refresh()
    before = len(simulator.readings())
    body = body_of(ANTHROPIC, model="claude-long", change={"stream": True, "max_tokens": 4000})
    with socket.create_connection((gateway.host, gateway.port)) as raw:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {world.key}\r\ncontent-length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        assert raw.recv(1000)
    (row,) = entries(gateway)
    assert row.usage_source == "provider"
    assert row.out_total == simulator.readings()[before].billed.output


def test_a_provider_is_left_at_once_though_its_call_cannot_be_booked(gateway, world, simulator):
    world.scripted("pace-1000-tokens-60", on_disconnect="cancel")
    gateway.refresh()
    before = len(simulator.readings())
    failpoints.arm("settle.before_journal:raise")
    try:
        raw = call(gateway, ANTHROPIC, model="claude-pace-1000-tokens-60", stream=True)
        read_until(raw, b"content_block_delta")
        leave(raw, "rst")
        until(lambda: len(simulator.readings()) > before and simulator.readings()[before].outcome != "open")
    finally:
        failpoints.arm("")
    assert simulator.readings()[before].outcome == "aborted"
