"""Numbers with a point or an exponent, where JSON is read untyped: msgspec's own reading of those that are written at
length or lie far from one, as 1e300 does, takes thirty times as long, seconds for a megabyte."""

from __future__ import annotations

import math

import msgspec


def read(written: str) -> float:
    """For a decoder's `float_hook`: the very value that msgspec would give. Raises ValueError for one too large."""
    value = float(written)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value


decode = msgspec.json.Decoder(float_hook=read).decode
"""All of it untyped. Raises DecodeError."""
