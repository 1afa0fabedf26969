"""Names of betas as callers list them in `anthropic-beta`: an open list, but not one of any words. What is shaped as a
name has no room for an address, a key or a card's number.
"""

from __future__ import annotations

import re

HEADER = b"anthropic-beta"
_LONGEST = 64
_MOST_DIGITS = 12  # a date has eight; the shortest card numbers have 13
_NAME = re.compile(rb"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
_NOT_DIGITS = bytes(set(range(256)) - set(b"0123456789"))


def shaped(value: bytes) -> bytes:
    """The header's value without what is no name, its bytes as they are where all are names; b"": there is none."""
    names = value.split(b",")
    kept = [name for name in names if _is_name(name.strip(b" \t"))]
    return value if len(kept) == len(names) else b",".join(kept).strip(b" \t")


def _is_name(name: bytes) -> bool:
    if len(name) > _LONGEST or _NAME.fullmatch(name) is None:
        return False
    return len(name.translate(None, _NOT_DIGITS)) <= _MOST_DIGITS
