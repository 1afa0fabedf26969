"""AWS event streams (`application/vnd.amazon.eventstream`), incrementally: bytes in, messages out, however split.

    [length u32][length of headers u32][CRC-32 of these 8 bytes][headers][payload][CRC-32 of all before]

Messages are framed and summed here, in a tenth of the time that botocore takes. It reads the headers, which are many
types, but the same bytes for each message of a kind: so it reads them once. The first of them imports it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from apps.domain import errors

MAX_MESSAGE = 6 << 20  # an event as large as `sse` takes, in base64
_MAX_HEADERS = 8 * 1024  # botocore takes time that grows with their square
_MAX_KEPT = 512  # AWS's have some 80 bytes
_BLOCKS_KEPT = 64
_PRELUDE = 12
_LEAST = _PRELUDE + 4
_prelude_at = struct.Struct(">III").unpack_from
_sum_at = struct.Struct(">I").unpack_from
_NAMED_BY = {"exception": ":exception-type", "error": ":error-code"}


class Message(msgspec.Struct, frozen=True, gc=False):
    """`kind` is `event`, `exception` or `error`, `name` says which of that kind; empty where no text says so."""

    kind: str
    name: str
    headers: Mapping[str, Any]
    payload: bytes

    def header(self, name: str) -> str:
        """Empty where it is absent, or no text."""
        return _text(self.headers, name)


class Decoder:
    """Holds at most one unfinished message and one chunk."""

    def __init__(self) -> None:
        self._tail = bytearray()
        self._wanted = _PRELUDE  # bytes, before which a look at the tail tells nothing new

    @property
    def is_between(self) -> bool:
        """No message is under way."""
        return not self._tail

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are now whole. Raises UpstreamBroken behind the last of them that is sound."""
        if self._tail:
            self._tail += chunk
            if len(self._tail) < self._wanted:
                return
            chunk = bytes(self._tail)
            self._tail.clear()
        self._wanted = _PRELUDE
        start, end = 0, len(chunk)
        while end - start >= _PRELUDE:
            length, of_headers, told = _prelude_at(chunk, start)
            if told != crc32(chunk[start : start + 8]):
                raise _garbled()  # before a length is believed
            if length > MAX_MESSAGE or of_headers > _MAX_HEADERS:
                raise errors.UpstreamBroken("the upstream sent a message that is too long")
            if length < _LEAST + of_headers:
                raise _garbled()
            stop = start + length
            if stop > end:
                self._wanted = length
                break
            if _sum_at(chunk, stop - 4)[0] != crc32(chunk[start : stop - 4]):
                raise _garbled()
            payload_at = start + _PRELUDE + of_headers
            kind, name, headers = _headers(chunk[start + _PRELUDE : payload_at])
            yield Message(kind, name, headers, chunk[payload_at : stop - 4])
            start = stop
        self._tail += chunk[start:]


_Headers = tuple[str, str, Mapping[str, Any]]


def _headers(block: bytes) -> _Headers:
    """Kind and name of a message, and all its headers. Raises UpstreamBroken."""
    return _kept(block) if len(block) <= _MAX_KEPT else _read(block)


def _read(block: bytes) -> _Headers:
    from botocore.eventstream import EventStreamHeaderParser, ParserError

    try:
        headers: dict[str, Any] = EventStreamHeaderParser().parse(block)
    except (ParserError, struct.error, KeyError, UnicodeDecodeError) as fault:
        raise _garbled() from fault
    kind = _text(headers, ":message-type")
    return kind, _text(headers, _NAMED_BY.get(kind, ":event-type")), headers


_kept = lru_cache(maxsize=_BLOCKS_KEPT)(_read)


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _garbled() -> errors.UpstreamBroken:
    return errors.UpstreamBroken("the upstream sent a garbled message")
