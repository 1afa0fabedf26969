"""JSON objects, one a line (https://github.com/ndjson/ndjson-spec), incrementally: bytes in, lines out, however the
bytes are split."""

from __future__ import annotations

from apps.domain import errors

MAX_LINE = 4 << 20  # a line may hold a whole tool call
_BOM = b"\xef\xbb\xbf"


class Decoder:
    """Bytes to lines that are not blank, without their ends; a lone CR ends none.

    `feed` and `close` raise `errors.UpstreamBroken` for a line over MAX_LINE. Lines that were whole before it are
    returned first; the fault is raised by the call after.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._at_start = True
        self._is_too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        self._raise_fault()
        if b"\n" not in chunk:
            self._line += chunk
            self._check(len(self._line))
            return []
        lines = chunk.split(b"\n")
        lines[0] = bytes(self._line) + lines[0]
        self._line = bytearray(lines.pop())
        self._check(len(self._line))
        return self._read(lines)

    def close(self) -> list[bytes]:
        """At the end of the stream: the last line need not be ended, so what is left is one (perhaps cut short)."""
        self._raise_fault()
        rest = bytes(self._line)
        self._line.clear()
        return self._read([rest])

    def _read(self, lines: list[bytes]) -> list[bytes]:
        whole: list[bytes] = []
        for line in lines:
            self._check(len(line))
            if self._is_too_long and len(line) > MAX_LINE:
                break
            plain = (line.removeprefix(_BOM) if self._at_start else line).strip()
            self._at_start = False
            if plain:
                whole.append(plain)
        return whole

    def _check(self, length: int) -> None:
        if length > MAX_LINE:
            self._is_too_long = True
            self._line.clear()

    def _raise_fault(self) -> None:
        if self._is_too_long:
            raise errors.UpstreamBroken("the upstream sent a line that is too long")
