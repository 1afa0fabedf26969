"""Most events of a stream are the one before with another text in it. Those are told by their bytes, some at once."""

from __future__ import annotations

import re

TEXT = rb'[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+'
"""What stands between the quotes of a string. Never crosses a line end, so it finds the same however the lines come."""

_PADDING = b'"obfuscation":"'  # OpenAI's, of any length, so that nobody reads the text from the sizes of packets
_PATIENCE = 4  # lessons in a row that failed at once: the events of this stream differ in more than their text
_BACKSLASH = ord("\\")  # as a number it is found twice as fast
_NOTHING = b"\0"
_BLANK_LINES = (b"\n\n", b"\r\n\r\n")
_text = re.compile(TEXT).match
_plain = re.compile(rb'[^"\\\r\n]*+').match


class Alike:
    """What stands around the text of a stream's last event that brought one and nothing that matters."""

    __slots__ = ("_after", "_before", "_in_vain", "_is_new", "_pad")

    def __init__(self) -> None:
        self._in_vain = 0
        self._is_new = False  # nothing was held against it yet
        self.forget()

    def forget(self) -> None:
        """Nothing is like it from now on."""
        self._before = self._after = _NOTHING
        self._pad = b""

    @property
    def is_curious(self) -> bool:
        """Whether to learn pays, as far as can be told."""
        return self._in_vain < _PATIENCE

    def learn(self, event: bytes, start: int, end: int) -> None:
        """Its text goes from `start` to `end`. What cannot be told safely by its bytes is not learned."""
        before, after = event[:start], event[end:]
        head, padding, rest = after.partition(_PADDING)
        pad = head + padding if padding else b""
        if padding:
            after = rest[_plain(rest).end() :]  # type: ignore[union-attr]  # it matches nothing, at least
        if not (after.startswith(b'"') and after.endswith(_BLANK_LINES)) or _BACKSLASH in before + pad + after:
            return
        self._before, self._pad, self._after = before, pad, after
        self._is_new = True

    def run(self, events: bytes) -> tuple[int, int]:
        """(How many bytes at the beginning of `events` are whole events that are like it, bytes of text in them.)"""
        before, pad, after = self._before, self._pad, self._after
        size = place = 0
        while events.startswith(before, place):
            start = place + len(before)
            end = close = _text(events, start).end()  # type: ignore[union-attr]  # it matches nothing, at least
            if pad:
                if not events.startswith(pad, end):
                    break
                close = _plain(events, end + len(pad)).end()  # type: ignore[union-attr]  # so does this
            if not events.startswith(after, close):
                break
            size += end - start
            place = close + len(after)
        if self._is_new:
            self._is_new = False
            self._in_vain = 0 if place else self._in_vain + 1
        if place and _BACKSLASH in events:  # in texts alone
            size -= events.count(b"\\", 0, place) + 3 * events.count(b"\\u", 0, place)
        return place, size


def heard(text: bytes) -> int:
    """Roughly the bytes of a string of which these stand between its quotes."""
    return len(text) - text.count(b"\\") - 3 * text.count(b"\\u") if _BACKSLASH in text else len(text)
