"""AWS event streams, split anywhere, cut anywhere, and garbled."""

from __future__ import annotations

import binascii
import struct
import subprocess
import sys
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, eventstream
from tests.domain import frames
from tests.domain.streams import cuts, split

pytestmark = pytest.mark.attack("fuzz")

STREAM = b"".join(
    [
        frames.event("messageStart", {"role": "assistant"}),
        frames.message({":message-type": "event"}, b""),
        frames.exception("throttlingException", "slow down"),
        frames.fault("InternalFailure", "all is lost"),
    ]
)


def read(*chunks: bytes) -> tuple[list[eventstream.Message], str]:
    """The messages, and what was wrong then."""
    decoder = eventstream.Decoder()
    found = []
    try:
        for chunk in chunks:
            found.extend(decoder.feed(chunk))
    except errors.UpstreamBroken as broken:
        return found, broken.message
    return found, "" if decoder.is_between else "cut"


def read_by_botocore(*chunks: bytes) -> tuple[list[tuple[dict[str, Any], bytes]], bool]:
    """The same by AWS's own reader: headers and payload of each message, and whether something was wrong then."""
    buffer = EventStreamBuffer()
    found = []
    try:
        for chunk in chunks:
            buffer.add_data(chunk)
            for message in buffer:
                found.append((message.headers, message.payload))  # noqa: PERF401  # those before the fault count
    except (ParserError, struct.error, KeyError, UnicodeDecodeError):
        return found, True
    return found, False


def agrees_with_botocore(*chunks: bytes) -> bool:
    found, fault = read(*chunks)
    told = [(message.headers, message.payload) for message in found]
    return (told, fault not in ("", "cut")) == read_by_botocore(*chunks)


def test_messages_are_told_by_kind_and_name():
    found, fault = read(STREAM)
    assert fault == ""
    assert [(message.kind, message.name) for message in found] == [
        ("event", "messageStart"),
        ("event", ""),
        ("exception", "throttlingException"),
        ("error", "InternalFailure"),
    ]
    assert found[0].payload == b'{"role": "assistant"}'
    assert found[3].header(":error-message") == "all is lost"


@given(cuts)
def test_any_split_gives_the_same_messages(at):
    assert read(*split(STREAM, at)) == read(STREAM)


def test_a_stream_cut_short_is_known_by_what_is_left():
    assert read(STREAM[:-1])[1] == "cut"
    assert len(read(STREAM[:-1])[0]) == 3


@given(st.integers(0, len(STREAM) * 8 - 1), cuts)
def test_a_single_flipped_bit_is_found_whichever_it_is(bit, at):
    garbled = bytearray(STREAM)
    garbled[bit // 8] ^= 1 << bit % 8
    found, fault = read(*split(bytes(garbled), at))
    assert fault
    assert found == read(STREAM)[0][: len(found)]
    assert len(found) < 4


@given(st.binary(max_size=200), cuts)
def test_noise_ends_in_one_clean_error_or_waits(noise, at):
    found, fault = read(*split(noise, at))
    assert found == []
    assert fault or len(noise) < 12


def prelude(length: int, of_headers: int) -> bytes:
    lengths = struct.pack(">II", length, of_headers)
    return lengths + struct.pack(">I", binascii.crc32(lengths))


@pytest.mark.parametrize(
    ("length", "of_headers"),
    [
        (eventstream.MAX_MESSAGE + 1, 0),
        (2**32 - 1, 0),
        (2**32 - 1, 2**32 - 1),
        (1 << 20, 100_000),
        (0, 0),
        (15, 0),
        (20, 5),
    ],
)
def test_a_message_that_claims_too_much_is_refused_before_it_comes(length, of_headers):
    found, fault = read(prelude(length, of_headers))
    assert (found, bool(fault)) == ([], True)


def headed(raw: bytes, payload: bytes = b"") -> bytes:
    whole = prelude(16 + len(raw) + len(payload), len(raw)) + raw + payload
    return whole + struct.pack(">I", binascii.crc32(whole))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x01a\x63",  # a type that there is none of
        b"\x01\xff\x00",  # a name that is no UTF-8
        b"\x01a\x07\x00\x02\xff\xfe",
        b"\x01a\x00\x01a\x00",  # twice
        b"\x01a\x04\x00",  # a number of which half is missing
        b"\x01a",
    ],
)
def test_headers_that_cannot_be_read_are_one_clean_error(raw):
    assert read(headed(raw)) == ([], "the upstream sent a garbled message")


def test_a_header_that_is_no_text_is_none_of_ours():
    (message,) = read(headed(b"\x0d:message-type\x02\x03"))[0]
    assert (message.kind, message.name, message.headers) == ("", "", {":message-type": 3})


# --- beside AWS's own reader -----------------------------------------------------------------------------------------

KINDS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Headers of all types, some of them with values that are no text, or a name twice."""
    raw = b""
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.sampled_from([":message-type", ":event-type", ":exception-type", "a", "é"])).encode()
        kind = draw(st.sampled_from(KINDS))
        if kind in FIXED:
            value = draw(st.binary(min_size=FIXED[kind], max_size=FIXED[kind]))
        else:
            text = draw(st.sampled_from([b"event", b"exception", b"error", b"\xff"]) | st.binary(max_size=600))
            value = struct.pack(">H", len(text)) + text
        raw += bytes((len(name),)) + name + bytes((kind,)) + value
    return raw


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Some kinds of messages, several times each, as a provider sends them; rarely in noise for headers."""
    kinds = draw(st.lists(blocks() | st.binary(max_size=20), min_size=1, max_size=3))
    sent = draw(st.lists(st.tuples(st.sampled_from(kinds), st.binary(max_size=40)), max_size=8))
    return b"".join(headed(raw, payload) for raw, payload in sent)


@given(streams(), cuts)
def test_whatever_comes_is_read_as_botocore_reads_it(stream, at):
    assert agrees_with_botocore(*split(stream, at))


@given(streams(), st.integers(0, 1 << 16), st.integers(1, 255), cuts)
def test_a_corrupt_byte_is_found_where_botocore_finds_it(stream, place, flips, at):
    garbled = bytearray(stream or STREAM)
    garbled[place % len(garbled)] ^= flips
    assert agrees_with_botocore(*split(bytes(garbled), at))
    assert read(bytes(garbled))[1]


@given(streams(), st.integers(0, 1 << 16), cuts)
def test_of_a_stream_cut_short_as_much_is_read_as_botocore_reads(stream, end, at):
    assert agrees_with_botocore(*split(stream[: end % (len(stream) + 1)], at))


def test_headers_are_remembered_by_their_bytes_and_only_so_many_and_so_long():
    """Else a provider could fill the memory, or one header be taken for another."""
    for number in range(1000):
        block = b"\x01a\x04" + struct.pack(">I", number)
        assert [message.headers for message in read(headed(block) * 2)[0]] == [{"a": number}] * 2
    assert eventstream._kept.cache_info().currsize == eventstream._kept.cache_info().maxsize < 1000
    eventstream._kept.cache_clear()
    long = b"\x01a\x07" + struct.pack(">H", 4096) + b"x" * 4096
    assert [message.header("a") for message in read(headed(long) * 2)[0]] == ["x" * 4096] * 2
    assert eventstream._kept.cache_info().currsize == 0


def test_a_large_message_in_small_pieces_and_many_in_one_piece_come_out_whole():
    large = frames.message({":message-type": "event"}, b"x" * (4 << 20))
    pieces = [large[at : at + 4096] for at in range(0, len(large), 4096)]
    assert [len(message.payload) for message in read(*pieces)[0]] == [4 << 20]
    assert len(read(frames.message({}, b"abc") * 20_000)[0]) == 20_000


def test_botocore_is_imported_by_the_first_message_only():
    program = (
        "import sys; from apps.domain.protocols import registry; from apps.domain.providers import registry;"
        "from apps.domain import eventstream; decoder = eventstream.Decoder(); assert 'botocore' not in sys.modules;"
        f"list(decoder.feed({STREAM!r})); assert 'botocore' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
