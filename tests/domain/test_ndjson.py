"""Lines of JSON, however their bytes are split."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, ndjson
from tests.domain import streams

pytestmark = pytest.mark.attack("fuzz")


def lines(*pieces: bytes) -> list[bytes]:
    decoder = ndjson.Decoder()
    return [line for piece in pieces for line in decoder.feed(piece)] + decoder.close()


@pytest.mark.parametrize(
    "stream",
    [b'{"a":1}\n{"b":2}\n', b'{"a":1}\r\n{"b":2}\r\n', b'\n\n{"a":1}\n \n{"b":2}', b'\xef\xbb\xbf{"a":1}\n{"b":2}\n'],
    ids=["plain", "with carriage returns", "with blank lines and no last end", "with a byte order mark"],
)
@given(cuts=streams.cuts)
def test_lines_are_the_same_wherever_the_bytes_are_split(stream, cuts):
    assert lines(*streams.split(stream, cuts)) == [b'{"a":1}', b'{"b":2}']


@given(
    st.lists(st.binary(min_size=1, max_size=9).filter(lambda made: b"\n" not in made and made.strip())), streams.cuts
)
def test_as_many_lines_come_out_as_went_in(made, cuts):
    stream = b"x\n" + b"".join(line + b"\n" for line in made)
    assert lines(*streams.split(stream, cuts)) == [b"x", *(line.strip() for line in made)]


def test_a_line_without_an_end_is_refused_in_bounded_memory():
    decoder = ndjson.Decoder()
    tracemalloc.start()
    for _ in range(64):
        decoder.feed(b"x" * 65536)
    decoder.feed(b"x")
    with pytest.raises(errors.UpstreamBroken, match="too long"):
        decoder.feed(b"x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * ndjson.MAX_LINE


def test_lines_before_one_that_is_too_long_are_still_told():
    decoder = ndjson.Decoder()
    assert decoder.feed(b"{}\n" + b"x" * (ndjson.MAX_LINE + 1) + b"\n{}\n") == [b"{}"]
    with pytest.raises(errors.UpstreamBroken):
        decoder.close()
