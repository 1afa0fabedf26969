"""Scripted breakage, seen from a raw socket: what exactly arrives, and how the connection ends."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.sdk import worlds

DEADLINE = 30.0


class Line:
    """One call over a socket of its own. `ending` is "open", "closed" or "reset"."""

    def __init__(self, base_url: str, *, model: str, stream: bool = True, simulate: str = "") -> None:
        address = urlsplit(base_url)
        body = json.dumps({"model": model, "max_tokens": 99, "stream": stream, "messages": worlds.HELLO}).encode()
        head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
        head += f"x-simulate: {simulate}\r\n" if simulate else ""
        self.socket = socket.create_connection((address.hostname, address.port), timeout=DEADLINE)
        self.socket.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.data = b""
        self.reads = 0
        self.ending = "open"

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def read(self, *, until: bytes | None = None, quiet: float | None = None) -> bytes:
        """Everything, or as far as a mark, or until nothing has come for `quiet` seconds."""
        self.socket.settimeout(quiet or DEADLINE)
        while until is None or until not in self.data:
            try:
                chunk = self.socket.recv(65536)
            except TimeoutError:
                assert quiet, "nothing came"
                break
            except ConnectionResetError:
                self.ending = "reset"
                break
            if not chunk:
                self.ending = "closed"
                break
            self.reads += 1
            self.data += chunk
        return self.data

    @property
    def events(self) -> int:
        return self.data.count(b"\nevent: ")


@pytest.fixture
def line(provider):
    opened: list[Line] = []

    def open_line(model: str, **more: object) -> Line:
        opened.append(Line(provider.base_url, model=model, **more))
        return opened[-1]

    yield open_line
    for each in opened:
        each.socket.close()


def test_it_dies_after_three_events_without_ending_the_body(line):
    call = line("claude-dies-after-3-chunks")
    call.read()
    assert (call.events, call.ending) == (3, "closed")
    assert not call.data.endswith(b"0\r\n\r\n")


def test_it_resets_the_connection_after_three_events(line):
    call = line("claude-resets-after-3")
    call.read()
    assert (call.events, call.ending) == (3, "reset")


def test_it_ends_early_in_a_well_formed_way(line):
    call = line("claude-ends-after-4")
    assert call.read(until=b"0\r\n\r\n").endswith(b"0\r\n\r\n")
    assert call.events == 4
    assert b"message_stop" not in call.data


def test_it_dies_before_it_has_said_anything(line):
    call = line("claude-dies-before-headers")
    assert call.read() == b""
    assert call.ending == "closed"


@pytest.mark.parametrize("ending", ["dies", "resets"])
def test_an_answer_in_one_piece_is_cut_in_its_middle(line, ending):
    call = line(f"claude-{ending}-after-1", stream=False)
    head, _, body = call.read().partition(b"\r\n\r\n")
    assert b"200 OK" in head
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert 0 < len(body) < length
    assert call.ending == {"dies": "closed", "resets": "reset"}[ending]


def test_it_stalls_after_two_events_until_the_caller_leaves(line):
    call = line("claude-stall-after-2")
    call.read(quiet=0.3)
    assert (call.events, call.ending) == (2, "open")


def test_it_stalls_before_the_first_byte(line):
    call = line("claude-stall")
    assert call.read(quiet=0.3) == b""
    assert call.ending == "open"


def test_an_error_event_comes_after_five_events_and_nothing_behind_it(line):
    call = line("claude-error-after-5")
    data = call.read(until=b"0\r\n\r\n")
    assert call.events == 6
    assert data.rindex(b"event: error") > data.rindex(b"content_block_delta")
    assert b"message_stop" not in data


def test_an_error_event_can_tell_of_too_many_calls(line):
    data = line("claude-throttled-error-after-2").read(until=b"0\r\n\r\n")
    assert b'"rate_limit_error"' in data


def test_one_event_can_have_a_wrong_byte(line):
    data = line("claude-corrupt-after-4").read(until=b"0\r\n\r\n")
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert b"message_stop" in data


def test_the_terminator_can_be_left_out(line):
    data = line("claude-no-terminator").read(until=b"0\r\n\r\n")
    assert b"message_delta" in data
    assert b"message_stop" not in data


@pytest.mark.parametrize("stream", [True, False])
def test_garbage_is_neither_json_nor_events(line, stream):
    call = line("claude-garbage", stream=stream)
    data = call.read(until=b"not what was asked for")
    assert b"200 OK" in data
    assert (b"text/event-stream" in data) is stream


def test_a_page_with_status_200_is_what_some_proxies_answer(line):
    data = line("claude-html-200").read(until=b"</html>")
    assert b"200 OK" in data
    assert b"content-type: text/html" in data


def test_usage_can_be_missing_or_absurd(http):
    asked = {"max_tokens": 99, "messages": worlds.HELLO}
    assert "usage" not in http.post("/v1/messages", json=asked | {"model": "claude-nousage"}).json()
    lies = http.post("/v1/messages", json=asked | {"model": "claude-lies"}).json()["usage"]
    assert (lies["input_tokens"], lies["output_tokens"]) == (-7, 10**18)
    chat = {"messages": worlds.HELLO, "stream": True, "stream_options": {"include_usage": True}}
    assert "prompt_tokens" not in http.post("/v1/chat/completions", json=chat | {"model": "gpt-nousage"}).text


def test_trickling_sends_every_byte_alone(line):
    call = line("claude-trickle-tokens-3")
    data = call.read(until=b"0\r\n\r\n")
    assert b"1\r\ne\r\n1\r\nv\r\n1\r\ne\r\n1\r\nn\r\n1\r\nt\r\n" in data


def test_lines_may_end_in_crlf(line):
    data = line("claude-crlf").read(until=b"0\r\n\r\n")
    assert b"event: message_start\r\ndata: " in data
    assert b'"message_stop"}\r\n\r\n' in data


def test_headers_can_take_two_seconds(line):
    began = time.monotonic()
    call = line("claude-slow-headers")
    call.read()
    assert time.monotonic() - began > 1.5
    assert call.reads > 20
    assert call.data.endswith(b"0\r\n\r\n")
    assert b"message_stop" in call.data


def test_the_body_can_end_well_after_the_last_event(line):
    call = line("claude-late-end")
    call.read(until=b"message_stop")
    began = time.monotonic()
    assert call.read(until=b"0\r\n\r\n").endswith(b"0\r\n\r\n")
    assert time.monotonic() - began > 0.3


def test_the_first_byte_and_the_pace_can_be_set_even_when_nothing_else_waits(line):
    began = time.monotonic()
    call = line("claude-slow-300-pace-20-tokens-5")
    call.read(until=b"message_start")
    assert 0.25 < time.monotonic() - began < 20
    began = time.monotonic()
    call.read(until=b"message_stop")
    assert time.monotonic() - began > 0.15  # ten events


def test_the_header_wins_over_the_name(line):
    call = line("claude-stall", simulate="ends-after-1, crlf")
    call.read(until=b"0\r\n\r\n")
    assert call.events == 1
    assert b"event: message_start\r\n" in call.data


def test_a_provider_falls_ill_and_gets_well_while_it_runs(provider, http):
    asked = {"model": "claude-moody", "max_tokens": 9, "messages": worlds.HELLO}
    provider.behave({"claude-moody": "500"})
    try:
        assert http.post("/v1/messages", json=asked).status_code == 500
        assert http.post("/v1/messages", json={**asked, "model": "claude-other"}).status_code == 200
        assert http.post("/v1/messages", json=asked, headers={"x-simulate": "529"}).status_code == 529
    finally:
        provider.behave({})
    assert http.post("/v1/messages", json=asked).status_code == 200


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("model", ["gpt-53", "gpt-prebuilt", "gpt-53-crlf"])
def test_a_stream_of_53_events_has_53(http, path, usage, model):
    body = {"model": model, "messages": worlds.HELLO, "stream": True, "max_tokens": 99}
    if path == "/v1/chat/completions":
        body["stream_options"] = {"include_usage": usage}
    answer = http.post(path, json=body)
    blocks = answer.text.replace("\r\n", "\n").removesuffix("\n\n").split("\n\n")
    assert len(blocks) == 53
