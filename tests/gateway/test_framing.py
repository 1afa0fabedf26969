"""Each request is read in one way, or refused with the end of its connection, however its bytes come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import framings
from tests.gateway.framings import LAST, READ, REFUSED, REQUEST, SMUGGLED, chunks, long, said, upgrade
from tests.gateway.wire import Wire, ending, statuses
from tests.servers import until

pytestmark = [pytest.mark.attack("F20"), pytest.mark.once]
BAD = REQUEST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
WEBSOCKET = upgrade(to=b"websocket", method=b"GET", body=b"")
SLOW = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def server() -> Iterator[Wire]:
    running = Wire()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def wire(server: Wire) -> Wire:
    server.asked.clear()
    server.go_on.clear()
    return server


def pieces(sent: bytes, size: int) -> list[bytes]:
    """`size` 0: all at once."""
    return [sent[at : at + size] for at in range(0, len(sent), size)] if size else [sent]


HOWEVER = pytest.mark.parametrize("size", [0, 1, 7], ids=["at once", "byte by byte", "in pieces"])


@HOWEVER
def test_what_could_be_read_otherwise_is_refused_and_nothing_behind_it_is_seen(wire, size):
    for name, sent in REFUSED.items():
        wire.asked.clear()
        answer = wire.exchange(*pieces(sent + SMUGGLED, size if len(sent) < 1_000 else 0))
        assert statuses(answer) == [400], f"{name}: {answer!r}"
        assert b"connection: close" in answer, name
        assert all(each.path == "/a" for each in wire.asked), f"{name}: {wire.asked}"


@HOWEVER
def test_what_is_read_ends_where_it_says_and_the_next_request_begins_there(wire, size):
    for name, (sent, body) in READ.items():
        wire.asked.clear()
        answer = wire.exchange(*pieces(sent + SMUGGLED, size if len(sent) < 1_000 else 0))
        assert statuses(answer) == [200, 200], f"{name}: {answer!r}"
        assert [(each.path.replace("*", "/a"), each.body) for each in wire.asked] == [("/a", body), ("/smuggled", b"")]


@HOWEVER
def test_nothing_is_read_behind_the_last_request(wire, size):
    for name, (sent, body) in LAST.items():
        wire.asked.clear()
        answer = wire.exchange(*pieces(sent + SMUGGLED, size))
        assert statuses(answer) == [200], f"{name}: {answer!r}"
        assert b"connection: close" in answer, name
        assert [(each.path, each.body) for each in wire.asked] == [("/a", body)], name


def test_the_cases_are_counted(figure):
    figure("F20", "framing cases, byte for byte", framings.COUNT, least=250)


def test_headers_behind_a_body_are_no_headers(wire):
    for name in (b"host", b"x-api-key", b"authorization", b"x-forwarded-for", b"connection"):
        wire.asked.clear()
        wire.exchange(chunks(b"0\r\n" + name + b": forged\r\n\r\n") + SMUGGLED)
        assert not [value for _, value in wire.asked[0].headers if value == b"forged"], name


def test_headers_of_the_connection_and_names_with_an_underscore_are_not_seen(wire):
    of_it = [b"Connection: X-A, te", b"x-a: 1", b"te: trailers"]
    others = [b"x-b: 2", b"X_Forwarded_For: 3", b"X-Forwarded_Proto: 4", b"x_: 5"]
    wire.exchange(said(b"\r\n".join(of_it + others)) + SMUGGLED)
    seen = dict(wire.asked[0].headers)
    assert seen.keys() == {b"host", b"connection", b"x-b", b"content-length"}


def test_an_upgrade_that_is_not_taken_leaves_no_trace_of_itself(wire):
    wire.exchange(upgrade(to=b"h2c") + SMUGGLED)
    names = {name for name, _ in wire.asked[0].headers}
    assert not names & {b"upgrade", b"http2-settings", b"connection"}
    assert names >= {b"host", b"content-length"}


@pytest.mark.parametrize("length", [b"", b"content-length: 0\r\n"], ids=["no length", "a length of nothing"])
def test_a_websocket_is_refused_with_the_end_of_its_connection(wire, length):
    """The application's: none but the live pages are one."""
    assert statuses(wire.exchange(WEBSOCKET[:-2] + length + b"\r\n", SMUGGLED)) == [403]
    assert [each.path for each in wire.asked] == ["/a"]


def test_requests_that_come_together_are_answered_in_their_order(wire):
    sent = [b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(9)]
    with wire.connect() as raw:
        raw.sendall(SLOW + b"".join(sent) + SMUGGLED)
        until(lambda: wire.asked)
        assert [each.path for each in wire.asked] == ["/slow"]
        wire.go_on.set()
        answers = ending(raw)
    assert statuses(answers) == [200] * 11
    paths = ["/slow", *(f"/{number}" for number in range(9)), "/smuggled"]
    assert [each.path for each in wire.asked] == paths
    at = [answers.index(b"\r\n\r\n" + path.encode()) for path in paths]
    assert at == sorted(at)


def test_only_so_many_requests_wait_for_their_turn(wire):
    with wire.connect() as raw:
        raw.sendall(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000)
        answers = ending(raw)
    assert statuses(answers) == [200] * 17
    assert len(wire.asked) == 17


@pytest.mark.parametrize("bad", [BAD, b"junk\r\n\r\n", chunks(b"z\r\n"), said(b"x : y"), WEBSOCKET])
@pytest.mark.parametrize("between", [b"", long(b" 5")], ids=["right behind", "behind another"])
def test_whole_requests_before_a_bad_one_get_their_own_answers(wire, between, bad):
    with wire.connect() as raw:
        raw.sendall(SLOW + between + bad + SMUGGLED)
        until(lambda: wire.asked)
        raw.sendall(SMUGGLED)
        wire.go_on.set()
        answers = ending(raw)
    whole = ["/slow", "/a"] if between else ["/slow"]
    assert statuses(answers) == [200] * len(whole), answers
    assert b"connection: close" in answers
    assert [each.path for each in wire.asked] == whole


def test_an_answer_that_has_begun_is_cut_short_and_not_filled_up_with_a_refusal(wire):
    with wire.connect() as raw:
        raw.sendall(b"POST /half HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        received = b""
        while not received.endswith(b"half"):
            received += raw.recv(65536)
        raw.sendall(b"junk" + SMUGGLED)
        assert ending(raw) == b""
    assert statuses(received) == [200]
    until(lambda: wire.asked[0].body is None)


def test_who_leaves_with_another_request_in_line_has_left_the_first_one_too(wire):
    with wire.connect() as raw:
        raw.sendall(b"GET /gone HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: wire.asked and wire.asked[0].body is not None)
        raw.sendall(SMUGGLED)
    until(lambda: wire.asked[0].body is None)
    assert [each.path for each in wire.asked] == ["/gone"]
