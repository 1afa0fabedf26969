"""Numbers that are read untyped: the same values and the same refusals as msgspec's own, in a bounded time."""

from __future__ import annotations

import math
import struct
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain import floats

FEW = settings(max_examples=300, deadline=None, derandomize=True)
WRITTEN = ("0.1", "-0.0", "1e300", "5e-324", "1E-400", "1.7976931348623157e308", "2.2250738585072011e-308", "9" * 30)


def _bits(value):
    assert isinstance(value, float)
    return struct.pack("d", value)


@FEW
@given(st.floats(-1e307, 1e307), st.integers(1, 40))
def test_every_number_is_the_one_that_it_was(number, digits):
    for written in (repr(number), f"{number:.{digits}e}"):
        if "." in written or "e" in written:
            assert _bits(floats.decode(f"[{written}]")[0]) == _bits(msgspec.json.decode(f"[{written}]")[0]), written


def test_numbers_at_the_edges_are_what_they_were():
    for written in WRITTEN:
        told, own = floats.decode(written), msgspec.json.decode(written)
        assert (told, math.copysign(1, told)) == (own, math.copysign(1, own)), written
    for written in ("1e309", "[-1e999]", '{"a":1e400}', "1.", ".5", "1e", "NaN", "Infinity"):
        with pytest.raises(msgspec.DecodeError) as own:
            msgspec.json.decode(written)
        with pytest.raises(msgspec.DecodeError) as told:
            floats.decode(written)
        assert str(told.value) == str(own.value)


def test_a_megabyte_of_far_numbers_is_read_at_once():
    body = b"[" + b",".join([b"1e300"] * 170_000) + b"]"
    began = time.thread_time()
    assert len(floats.decode(body)) == 170_000
    assert time.thread_time() - began < 1.5  # seconds; it was several
