"""Server-sent events, incrementally: bytes in, frames out, however the bytes are split.

`Decoder` follows the WHATWG rules (https://html.spec.whatwg.org/multipage/server-sent-events.html) and is for whoever
reads events. `Splitter` is for whoever only watches: it cuts a stream between events and changes no byte of it.
"""

from __future__ import annotations

import re

import msgspec

from apps.domain import errors

MAX_LINE = 1 << 20
MAX_EVENT = 4 << 20
_BOM = b"\xef\xbb\xbf"
_CR, _LF = b"\r\n"  # as numbers they are found three times as fast
# Two line ends in a row. Atomic, or a lone CRLF would be read as CR and LF.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`event` is empty where the sender named none. `data` is undecoded."""

    event: str
    data: bytes


def frame(event: str, data: bytes) -> bytes:
    """One event on the wire; without its `event:` line when `event` is empty. `data` holds no CR."""
    if _LF in data:
        data = data.replace(b"\n", b"\ndata: ")
    if not event:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def events(whole: bytes) -> list[bytes]:
    """The events of bytes that end with one, each as it was written, blank line and all."""
    if _CR not in whole and b"\n\n\n" not in whole and not whole.startswith(b"\n"):
        if whole.find(b"\n\n") == len(whole) - 2:
            return [whole]
        parts = whole.split(b"\n\n")
        parts.pop()
        return [part + b"\n\n" for part in parts]
    found = []
    start = 0
    for blank in _BLANK_LINE.finditer(whole):
        found.append(whole[start : blank.end()])
        start = blank.end()
    return found


def first(whole: bytes) -> bytes:
    """The first of the events of bytes that end with one."""
    blank = _BLANK_LINE.search(whole)
    return whole if blank is None else whole[: blank.end()]


def parse(event: bytes) -> tuple[str, bytes]:
    """Name and data of one event."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and _CR not in event:
        return "", event[6:-2]
    name = ""
    data = []
    for line in event.removeprefix(_BOM).splitlines():
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            name = line[6:].removeprefix(b" ").decode("utf-8", "replace")
        elif line == b"data":  # a field without a colon is one without a value
            data.append(b"")
        elif line == b"event":
            name = ""
    return name, b"\n".join(data)


class Decoder:
    """Bytes to frames; an event that the end of the stream cuts short is never delivered, as WHATWG demands.

    `feed` and `close` raise `errors.UpstreamBroken` for a line over MAX_LINE or an event over MAX_EVENT. Frames that
    were whole before the fault are returned first; the fault is raised by the call after.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True
        self._fault: str | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        self._raise_fault()
        if self._at_start:
            chunk = self._without_mark(chunk)
        if _CR in chunk or self._after_cr:
            chunk = self._with_newlines(chunk)
        if _LF not in chunk:
            self._line += chunk
            self._check_line(len(self._line))
            return []
        lines = chunk.split(b"\n")
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
        self._line = bytearray(lines.pop())
        frames = self._read(lines)
        self._check_line(len(self._line))
        return frames

    def close(self) -> None:
        """At the end of the stream."""
        self._raise_fault()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise errors.UpstreamBroken(self._fault)

    def _without_mark(self, chunk: bytes) -> bytes:
        head = bytes(self._line) + chunk
        self._line.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._line += head
            return b""
        self._at_start = False
        return head.removeprefix(_BOM)

    def _with_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_line(self, length: int) -> None:
        if length > MAX_LINE:
            self._fail("the upstream sent a line that is too long")

    def _fail(self, fault: str) -> None:
        if self._fault is None:
            self._fault = fault
        self._line.clear()
        self._data.clear()

    def _read(self, lines: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines:
            if not line:
                if self._data:
                    frames.append(Frame(self._event, b"\n".join(self._data)))
                self._data = []
                self._event = ""
                self._size = 0
                continue
            self._check_line(len(line))
            self._field(line)
            if self._fault is not None:
                break
        return frames

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
            if self._size > MAX_EVENT:
                self._fail("the upstream sent an event that is too long")
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace")


class Splitter:
    """Cuts a stream after its whole events, so that what goes on can be ended with an event of our own.

    Holds at most one unfinished event and one chunk. An event over MAX_EVENT is let through in pieces, unread.
    """

    def __init__(self) -> None:
        self.held = bytearray()  # of the event that is not whole yet; so long as there is none, what comes begins one
        self.passing = False  # in the middle of such an event

    def feed(self, chunk: bytes) -> tuple[bytes, bytes]:
        """(bytes of an event too long to hold, to go out first and unread; the whole events that are now in)."""
        tail = self.held
        if not tail and not self.passing and chunk.endswith(b"\n\n"):
            return b"", chunk
        start = max(0, len(tail) - 3)
        too_long = len(tail) > MAX_EVENT
        tail += chunk
        if self.passing or too_long:
            return self._pass(start)
        end = _last_boundary(tail, start)
        if not end:
            return b"", b""
        whole = bytes(tail[:end])
        del tail[:end]
        return b"", whole

    def rest(self) -> bytes:
        """The event that the end of the stream cut short."""
        return bytes(self.held)

    def _pass(self, start: int) -> tuple[bytes, bytes]:
        tail = self.held
        match = _BLANK_LINE.search(tail, start)
        self.passing = match is None
        first = max(0, len(tail) - 3) if match is None else match.end()  # 3: it may end in most of a blank line
        last = first if match is None else max(first, _last_boundary(tail, first))
        passed, whole = bytes(tail[:first]), bytes(tail[first:last])
        del tail[:last]
        return passed, whole


def _last_boundary(data: bytearray, start: int) -> int:
    """Where the last whole event that ends after `start` ends; 0: none does. What is before is not read again: a long
    event in small pieces would take time that grows with its square."""
    if data.find(_CR, start) < 0:
        found = data.rfind(b"\n\n", start)
        return 0 if found < 0 else found + 2
    end = 0
    for match in _BLANK_LINE.finditer(data, start):
        end = match.end()
    return end
