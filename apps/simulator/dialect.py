"""What a dialect can do, so that one completion serves both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.usage import Counters

Headers = list[tuple[bytes, bytes]]


class Frame(NamedTuple):
    """One SSE event, and how many tokens are out once it is."""

    data: bytes
    tokens: int = 0


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """`reported` is the usage the wire tells, which a script may take away (None) or falsify."""

    name: str
    read: Callable[..., Ask]  # (body, *, headers: Mapping[bytes, bytes], lenient: bool) -> Ask, raises Refused
    message: Callable[..., Object]  # (answer, *, ask, reported) -> the answer that is not streamed
    frames: Callable[..., list[Frame]]  # (answer, *, ask, reported) -> the whole stream
    failure: Callable[[Refused, str], tuple[int, Object]]  # (error, request id) -> status and body
    failure_frames: Callable[[str], list[Frame]]  # (request id) -> the end of a stream that fails
    headers: Callable[[str], Headers]  # (request id) -> what every answer carries
    new_request_id: Callable[[], str]
    events_around_text: Callable[[Ask], int]  # events of a stream that says one text, besides its tokens
    overflow: Callable[[int], Refused]  # (tokens) -> the prompt is too long


Reported = Counters | None
RequestHeaders = Mapping[bytes, bytes]
