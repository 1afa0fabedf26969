"""Upstreams that break HTTP itself: nothing of a call may be lost, held for ever or said twice."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames

pytestmark = pytest.mark.django_db(transaction=True)

START = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
EVENTS = (
    {"type": "message_start", "message": {**START, "usage": {"input_tokens": 5, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
STREAM = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS)


@contextlib.contextmanager
def upstream(*, head: bytes = b"", end: bytes = b"0\r\n\r\n") -> Iterator[str]:
    """Answers each connection with one whole stream, `head` added to its headers and `end` as its last chunk."""

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
                + head
                + b"\r\n%x\r\n%b\r\n%b" % (len(STREAM), STREAM, end)
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def entries(gateway):
    gateway.settle()
    return list(Entry.objects.order_by("id"))


def test_an_answer_that_is_whole_is_not_followed_by_an_error(gateway, world):
    with upstream(end=b"") as url:
        world.deploy("claude-cut", upstream="m", url=url)
        gateway.refresh()
        anthropic = ask(gateway, ANTHROPIC, model="claude-cut", change={"stream": True})
        openai = ask(gateway, OPENAI, model="claude-cut", change={"stream": True})
    assert [name for name, _ in frames(anthropic.text)] == [event["type"] for event in EVENTS]
    told = [data for _, data in frames(openai.text)]
    assert told.count("[DONE]") == 1
    assert told[-1] == "[DONE]"
    assert not any("error" in data for data in told[:-1])
    assert [(row.status, row.usage_source) for row in entries(gateway)] == [("ok", "provider")] * 2


def test_a_header_that_is_no_text_costs_no_row_and_no_place(gateway, world):
    world.limit(key=world.key_row, concurrency=1)
    with upstream(head=b"request-id: req_\xff\r\n") as url:
        world.deploy("claude-odd", upstream="m", url=url)
        gateway.refresh()
        for _ in range(2):
            assert ask(gateway, ANTHROPIC, model="claude-odd", change={"stream": True}).status_code == 200
    assert [(row.status, row.provider_request_id) for row in entries(gateway)] == [("ok", "req_?")] * 2


def test_a_provider_that_was_not_reached_is_not_charged_to_a_budget(gateway, world):
    world.unreachable("claude-nobody")
    world.budget(key=world.key_row, amount=2_000_000)  # less than two reservations
    gateway.refresh()
    for _ in range(3):
        assert ask(gateway, ANTHROPIC, model="claude-nobody").status_code == 502
    assert {(row.state, row.high_nano) for row in entries(gateway)} == {("void", 0)}
