"""Bytes that are no text, and characters that steer: refused where they would mean something, never told again as they
came, and one line of a log whatever they are."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator

import pytest
import structlog

from gateway_site import logs
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of, told
from tests.gateway.upstreams import EVENTS, upstream
from tests.gateway.wire import ending, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F21")]
BOTH = pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
HIGH = [bytes([byte]) for byte in range(0x80, 0x100)]
CONTROL = [bytes([byte]) for byte in range(0x20)] + [b"\x7f"]
BROKEN = [b"\xc3", b"\xc3(", b"\xe2\x82", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80"]
FORGED = '\n{"level":"info","event":"forged"}\r\n\u2028\x1b[2K\x85\u202e'


@pytest.fixture
def written() -> Iterator[io.BytesIO]:
    """What this process would write to its log, as it does in production."""
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding="utf-8", errors="strict", newline="", write_through=True)
    handler = logging.StreamHandler(text)
    handler.setFormatter(logs.formatter(logs.as_json))
    handler.addFilter(logs.RedactionFilter())
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield raw
    root.setLevel(before)
    root.removeHandler(handler)
    text.detach()


def lines(written: io.BytesIO) -> list[str]:
    """One JSON object each. Control characters, and what only some take for line ends, stand nowhere."""
    text = written.getvalue().decode("utf-8")
    assert not [each for each in text if each != "\n" and (not each.isprintable() or each in "\u2028\u2029\x85")]
    found = text.split("\n")[:-1]
    for line in found:
        assert json.loads(line)["event"] != "forged", line
    return found


def exchange(gateway, sent: bytes) -> bytes:
    with socket.create_connection((gateway.host, gateway.port), timeout=30) as raw:
        raw.sendall(sent)
        return ending(raw)


def closing(gateway, *, target: bytes = ANTHROPIC.encode(), line: bytes = b"x-a: b", body: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: %b\r\n" % (
        target,
        gateway.world.key.encode(),
    )
    return exchange(gateway, head + b"%b\r\ncontent-length: %d\r\n\r\n" % (line, len(body)) + body)


@BOTH
def test_a_body_that_is_no_text_is_refused_wherever_that_is(gateway, costs_nothing, path, written):
    good = body_of(path)
    for junk in HIGH + BROKEN:
        for place in (b'"Say ', b'"model": "', b'{"'):
            assert place in good
            answer = ask(gateway, path, body=good.replace(place, place + junk, 1))
            assert "UTF-8" in told(path, answer, 400), junk
            assert junk not in answer.content
    lines(written)


@BOTH
def test_a_control_character_in_a_string_is_no_json(gateway, costs_nothing, path):
    good = body_of(path)
    for junk in CONTROL[:-1]:  # DEL is text
        answer = ask(gateway, path, body=good.replace(b'"Say ', b'"Say ' + junk, 1))
        told(path, answer, 400)
        assert junk in b"\t\n\r" or junk not in answer.content


def test_a_target_that_is_no_text_is_refused(gateway, costs_nothing, written):
    for junk in HIGH + CONTROL:
        for target in (b"/v1/messages" + junk, b"/v1/messages?a=" + junk, junk):
            answer = closing(gateway, target=target)
            assert statuses(answer) in ([400], [401]), (target, answer)
            assert statuses(answer) == [400] or junk in b"\t\n\f\r ", target
            assert junk in b"\r\n\t " or junk not in answer
    lines(written)


def test_a_target_that_stands_for_no_text_leads_nowhere_and_is_not_told_again_as_it_came(gateway, written):
    for target in (
        b"/v1/%ff%fe",
        b"/v1/models/%ff",
        b"/v1/models/a%0d%0aset-cookie:%20a",
        b"/%00",
        b"/v1/%1b[2K%c2%85",
    ):
        for start in (b"GET", b"POST"):
            sent = b"%b %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % (
                start,
                target,
            )
            answer = exchange(gateway, sent)
            (status,) = statuses(answer)
            assert status in (401, 404, 405), (target, answer)
            assert b"set-cookie: a" not in answer.partition(b"\r\n\r\n")[0].lower()
            assert not set(answer) & {0, 0x1B, 0xFF, 0xFE}, answer
            answer.decode("utf-8")
    lines(written)


def test_a_header_that_is_no_text_changes_nothing_and_is_not_told_again(gateway, written):
    for junk in HIGH:
        for name in (
            b"user-agent",
            b"origin",
            b"anthropic-beta",
            b"x-claude-code-session-id",
            b"traceparent",
            b"accept",
        ):
            answer = closing(gateway, line=name + b": a" + junk + b"b", body=b"{}")
            assert statuses(answer) == [400], answer
            assert junk not in answer
            answer.decode("utf-8")
    lines(written)


def test_a_key_that_is_no_text_opens_nothing(gateway, costs_nothing, world, written):
    for junk in HIGH:
        for key in (junk, world.key.encode() + junk, junk + world.key.encode(), world.key.encode()[:20] + junk):
            for line in (b"x-api-key: " + key, b"authorization: Bearer " + key):
                head = (
                    b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%b\r\ncontent-length: 2\r\n\r\n{}"
                )
                answer = exchange(gateway, head % line)
                assert statuses(answer) == [401], (line, answer)
                assert junk not in answer
    assert not any(world.key in line for line in lines(written))


@BOTH
def test_what_a_caller_names_is_told_and_logged_on_one_line(gateway, costs_nothing, path, written):
    for name in (FORGED, "a\r\nx-evil: 1", "\ufeffm", "m\u0000"):
        answer = ask(gateway, path, model=name)
        assert name in told(path, answer, 404)
        assert "x-evil" not in answer.headers
        answer.content.decode("utf-8")
        assert not set(answer.content) & set(range(0x20)), "JSON escapes what steers"
    structlog.get_logger("test").warning("told", error=FORGED, path=FORGED, message="\ud800 \udcff", client="\xff\x00")
    logging.getLogger("test").warning("of a library: %s", FORGED.encode())
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("test").exception("it failed: %s", FORGED)
    assert len([line for line in lines(written) if '"logger":"test"' in line]) == 3


def streamed(junk: bytes) -> bytes:
    events = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS]
    return b"".join(events).replace(b'"text": "hi"', b'"text": "h' + junk + b'i"')


@pytest.mark.parametrize("junk", [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\x00", b"\x1b[2K"])
def test_a_stream_that_is_no_text_is_never_told_again_as_text(gateway, world, junk, written):
    """A dialect that is only passed on is its caller's to read. What is translated ends as the broken stream it is."""
    with upstream(streamed(junk)) as url:
        world.deploy("claude-odd", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, OPENAI, model="claude-odd", change={"stream": True})
    answer.content.decode("utf-8")
    assert junk not in answer.content
    assert '"error"' in answer.text
    gateway.settle()
    lines(written)


@pytest.mark.parametrize("junk", [b"\xff", b"\xed\xa0\x80", b"\xc3", b"\x00", b"\x1b[2K"])
@BOTH
def test_a_refusal_that_is_no_text_is_not_relayed(gateway, world, path, junk, written):
    said = b'{"type":"error","error":{"type":"invalid_request_error","message":"no ' + junk + b'"}}'
    with upstream(said, status=b"400 Bad Request", media=b"application/json") as url:
        world.deploy("claude-no", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, path, model="claude-no")
    assert answer.status_code in (400, 502)
    assert junk not in answer.content
    answer.json()
    gateway.settle()
    lines(written)
