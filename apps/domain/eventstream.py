"""AWS event streams (`application/vnd.amazon.eventstream`), incrementally: bytes in, messages out, however split.

    [length u32][length of headers u32][CRC-32 of these 8 bytes][headers][payload][CRC-32 of all before]

botocore reads the messages and checks both sums; it is imported when the first stream begins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from apps.domain import errors

MAX_MESSAGE = 6 << 20  # an event as large as `sse` takes, in base64
_MAX_HEADERS = 8 * 1024  # botocore takes time that grows with their square
_PRELUDE = 12
_LEAST = _PRELUDE + 4
_LENGTHS = struct.Struct(">II")


class Message(msgspec.Struct, frozen=True, gc=False):
    headers: dict[str, Any]
    payload: bytes

    @property
    def kind(self) -> str:
        """`event`, `exception` or `error`."""
        return self.header(":message-type")

    @property
    def name(self) -> str:
        """Of what kind of event, exception or error it is."""
        return self.header({"exception": ":exception-type", "error": ":error-code"}.get(self.kind, ":event-type"))

    def header(self, name: str) -> str:
        """Empty where it is absent, or no text."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Decoder:
    """Holds at most one unfinished message and one chunk."""

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer, ParserError

        self._buffer: Any = EventStreamBuffer()
        self._faults = (ParserError, struct.error, KeyError, UnicodeDecodeError)
        self._tail = bytearray()
        self._wanted = _PRELUDE  # or, when that has been read, the whole message

    @property
    def is_between(self) -> bool:
        """No message is under way."""
        return not self._tail

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are now whole. Raises UpstreamBroken behind the last of them that is sound."""
        tail = self._tail
        tail += chunk
        while len(tail) >= self._wanted:
            if self._wanted == _PRELUDE:
                self._begin()
                continue
            message = self._read(_PRELUDE, self._wanted)
            del tail[: self._wanted]
            self._wanted = _PRELUDE
            yield Message(message.headers, message.payload)

    def _begin(self) -> None:
        """Believes no length before its sum is checked."""
        self._read(0, _PRELUDE)
        length, of_headers = _LENGTHS.unpack_from(self._tail)
        if length > MAX_MESSAGE or of_headers > _MAX_HEADERS:
            raise errors.UpstreamBroken("the upstream sent a message that is too long")
        if length < _LEAST + of_headers:
            raise _garbled()
        self._wanted = length

    def _read(self, start: int, end: int) -> Any:
        """What botocore makes of these bytes of the message: itself, at its end."""
        self._buffer.add_data(bytes(self._tail[start:end]))
        try:
            return next(self._buffer, None)
        except self._faults as fault:
            raise _garbled() from fault


def _garbled() -> errors.UpstreamBroken:
    return errors.UpstreamBroken("the upstream sent a garbled message")
