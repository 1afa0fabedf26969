"""Identifiers that are unique in this process and unlikely to repeat in another."""

from __future__ import annotations

import itertools
import secrets

_RUN = secrets.token_hex(5)
_number = itertools.count(1)


def new(prefix: str, *, width: int = 24) -> str:
    """`prefix` followed by `width` characters of [0-9a-f]."""
    return f"{prefix}{_RUN}{next(_number):0{width - len(_RUN)}x}"
