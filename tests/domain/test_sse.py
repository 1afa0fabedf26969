"""Server-sent events, however they are split."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, sse

pytestmark = pytest.mark.attack("fuzz")

STREAM = (
    b'\xef\xbb\xbf: hello\nevent: message_start\ndata: {"a":1}\n\n'
    b"data:one\r\ndata: two\r\n\r\n"
    b"id: 7\rretry: 10\revent: odd\rdata:  indented\rdata\r\r"
    b"event: nothing\n\n"
    b":\n\n"
    b"unknown: field\ndata: \xc3\xa4\xe2\x9c\x93\n\n\n"
    b"data: {cut"
)
FRAMES = [
    sse.Frame("message_start", b'{"a":1}'),
    sse.Frame("", b"one\ntwo"),
    sse.Frame("odd", b" indented\n"),
    sse.Frame("", "ä✓".encode()),
]


def split(stream: bytes, cuts):
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


def decode_until_refused(decoder, chunks):
    """The frames that came before the refusal."""
    found = []
    try:
        for chunk in chunks:
            found += decoder.feed(chunk)
        decoder.close()
    except errors.UpstreamBroken:
        return found
    raise AssertionError("nothing was refused")


def decode(chunks):
    decoder = sse.Decoder()
    found = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    decoder.close()
    return found


def test_the_whatwg_rules_hold():
    assert decode([STREAM]) == FRAMES


def test_every_byte_alone_gives_the_same_frames():
    assert decode([STREAM[at : at + 1] for at in range(len(STREAM))]) == FRAMES


@given(st.lists(st.integers(0, 10_000)))
def test_any_split_gives_the_same_frames(cuts):
    assert decode(split(STREAM, cuts)) == FRAMES


ALPHABET = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b":", b" ", b"data", b"event", b"x", b"\xef\xbb\xbf", b"\0"])
)


@given(ALPHABET.map(b"".join), st.lists(st.integers(0, 1000)))
def test_any_split_of_garbage_gives_the_same_frames(stream, cuts):
    assert decode(split(stream, cuts)) == decode([stream])


def reference(stream: bytes):
    """The specification, line by line, in the plainest words."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines, event, data, found = text.split(b"\n")[:-1], "", [], []
    for line in lines:
        if not line:
            if data:
                found.append(sse.Frame(event, b"\n".join(data)))
            event, data = "", []
            continue
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return found


@given(ALPHABET.map(b"".join))
def test_the_decoder_agrees_with_the_specification(stream):
    assert decode([stream]) == reference(stream)


@pytest.mark.parametrize("size", [1024, 65_536, 3 << 20])
def test_a_line_too_long_is_refused_whatever_its_pieces(size):
    stream = b"data: before\n\ndata: " + b"x" * (sse.MAX_LINE + 1) + b"\n\n"
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert decode_until_refused(sse.Decoder(), chunks) == [sse.Frame("", b"before")]


def test_an_event_too_long_is_refused_though_its_lines_are_short():
    line = b"data: " + b"x" * 1000 + b"\n"
    assert decode_until_refused(sse.Decoder(), [line] * (sse.MAX_EVENT // 1000 + 2)) == []


def test_a_line_of_the_largest_size_passes():
    line = b"data: " + b"x" * (sse.MAX_LINE - 6)
    assert [len(frame.data) for frame in decode([line, b"\n\n"])] == [sse.MAX_LINE - 6]


def test_memory_stays_bounded_under_an_endless_line():
    decoder = sse.Decoder()
    assert decode_until_refused(decoder, [b"x" * 65_536] * 100) == []
    assert len(decoder._line) == 0


def test_a_written_frame_reads_back():
    assert decode([sse.frame("ping", b"{}")]) == [sse.Frame("ping", b"{}")]
    assert decode([sse.frame("", b"two\nlines")]) == [sse.Frame("", b"two\nlines")]
    assert sse.frame("", b"[DONE]") == b"data: [DONE]\n\n"


def watched(chunks):
    splitter = sse.Splitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return pieces, splitter.rest()


@given(ALPHABET.map(b"".join), st.lists(st.integers(0, 1000)))
def test_the_splitter_changes_no_byte_and_cuts_between_events_only(stream, cuts):
    pieces, rest = watched(split(stream, cuts))
    assert b"".join(pieces) + rest == stream
    whole = b"".join(pieces)
    assert decode([whole]) + decode([whole + rest])[len(decode([whole])) :] == decode([stream])
    assert not any(piece and not piece.endswith((b"\n", b"\r")) for piece in pieces)


def test_a_chunk_that_ends_with_an_event_goes_through_uncopied():
    chunk = b'event: ping\ndata: {"type": "ping"}\n\n'
    assert sse.Splitter().feed(chunk)[1] is chunk


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_too_long_to_hold_passes_in_pieces_and_those_behind_it_are_whole(end):
    long = b"data: " + b"x" * (sse.MAX_EVENT + 500_000) + end
    stream = b"data: 1" + end + long + b"data: 2" + end + b"data: 3"
    splitter = sse.Splitter()
    passed = whole = b""
    held = 0
    for start in range(0, len(stream), 100_001):
        first, second = splitter.feed(stream[start : start + 100_001])
        passed, whole = passed + first, whole + second
        held = max(held, len(splitter.rest()))
    assert passed.startswith(b"data: x")
    assert whole == b"data: 1" + end + b"data: 2" + end
    assert len(passed) + len(whole) + len(splitter.rest()) == len(stream)
    assert splitter.rest() == b"data: 3"
    assert held <= sse.MAX_EVENT + 2 * 100_001


def test_events_are_found_as_they_were_written():
    whole = b"event: a\ndata: 1\n\nevent: b\r\ndata: {}\r\n\r\n"
    events = sse.events(whole)
    assert b"".join(events) == whole
    assert [sse.parse(event) for event in events] == [("a", b"1"), ("b", b"{}")]
    assert json.loads(sse.parse(b"data: [1,\ndata: 2]\n\n")[1]) == [1, 2]
