"""What a caller has understood of an answer, in no dialect."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.matrix.wishes import Stop


class Said(msgspec.Struct, kw_only=True):
    """`usage` are the counters as the dialect tells them, made disjoint: fresh, read, written, out. `error` is what
    ended a stream; `raw_stop` the dialect's own word."""

    text: str = ""
    thinking: str = ""
    redacted: bool = False
    calls: list[tuple[str, Any]] = []
    stop: Stop | None = None
    raw_stop: str | None = None
    usage: dict[str, int] = {}
    error: dict[str, Any] | None = None


class Refused(msgspec.Struct, kw_only=True):
    """An error before the answer. `kind` is the dialect's word for it, `field` what it blames."""

    status: int
    kind: str
    code: str | None
    field: str | None
    message: str
