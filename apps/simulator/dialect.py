"""What a dialect can do, so that one completion serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.usage import Counters

Headers = list[tuple[bytes, bytes]]
Reported = Counters | None
EVENTS = b"text/event-stream; charset=utf-8"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it arrived. `path` is as the line had it, its escapes included."""

    method: str
    path: str
    query: str = ""
    headers: dict[bytes, bytes]
    body: bytes


class Head(msgspec.Struct, frozen=True):
    """As much of a request as must be known before it is examined."""

    model: str = ""
    stream: bool = False
    wants_usage: bool = True


class Frame(NamedTuple):
    """One event of a stream, and how many tokens are out once it is."""

    data: bytes
    tokens: int = 0


class Failure(NamedTuple):
    """The answer to a call that is refused. `headers` are those that this error alone has."""

    status: int
    document: Object
    headers: Sequence[tuple[bytes, bytes]] = ()


class Broken(NamedTuple):
    """A stream that fails after `position` events, `sent`; `is_throttled`: too much was asked, nothing broke."""

    request_id: str
    position: int
    is_throttled: bool
    sent: Sequence[Frame] = ()


class Dialect(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`reported` is the usage the wire tells, which a script may take away (None) or falsify."""

    name: str
    head: Callable[[Request], Head | None]  # None: makes no sense at first sight; `read` will say why
    authenticate: Callable[[Request], str]  # the caller's key; raises Refused
    read: Callable[..., Ask]  # (Request, *, lenient: bool) -> Ask, raises Refused
    message: Callable[..., Object]  # (answer, *, ask, reported) -> the answer that is not streamed
    frames: Callable[..., list[Frame]]  # (answer, *, ask, reported) -> the whole stream
    failure: Callable[[Refused, str], Failure]  # (error, request id) -> the answer
    failure_frames: Callable[[Broken], list[Frame]]  # the end of a stream that fails
    headers: Callable[[str], Headers]  # (request id) -> what every answer carries, the id first
    new_request_id: Callable[[], str]
    events_around_text: Callable[[Ask], int]  # events of a stream that says one text, besides its tokens
    overflow: Callable[[int, str], Refused]  # (tokens, model) -> the prompt is too long
    stream_type: bytes = EVENTS
    stream_headers: Sequence[tuple[bytes, bytes]] = ((b"cache-control", b"no-cache"),)
    has_lines: bool = True  # of a stream: `crlf` means something
    terminators: int = 1  # the events at a stream's end without which it is not whole
    counts: Callable[[Counters], Headers] = lambda usage: []  # headers that tell the usage of an answer in one piece


class Place(NamedTuple):
    """What is served at a path: a completion, or a document that takes no model to write (raises Refused)."""

    dialect: Dialect
    method: str = "POST"
    document: Callable[[Request], object] | None = None
