"""AWS event streams, split anywhere, cut anywhere, and garbled."""

from __future__ import annotations

import binascii
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, eventstream
from tests.domain import frames
from tests.domain.streams import cuts, split

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


def headed(raw: bytes) -> bytes:
    whole = prelude(16 + len(raw), len(raw)) + raw
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
    message = eventstream.Message({":message-type": 3}, b"")
    assert (message.kind, message.name) == ("", "")


def test_a_large_message_in_small_pieces_and_many_in_one_piece_come_out_whole():
    large = frames.message({":message-type": "event"}, b"x" * (4 << 20))
    pieces = [large[at : at + 4096] for at in range(0, len(large), 4096)]
    assert [len(message.payload) for message in read(*pieces)[0]] == [4 << 20]
    assert len(read(frames.message({}, b"abc") * 20_000)[0]) == 20_000


def test_botocore_is_imported_by_the_first_stream_only():
    program = (
        "import sys; from apps.domain.protocols import registry; from apps.domain.providers import registry;"
        "assert 'botocore' not in sys.modules; from apps.domain import eventstream; eventstream.Decoder();"
        "assert 'botocore' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
