"""Most events of a stream are the one before with another text in it. Those are told by their bytes, some at once."""

from __future__ import annotations

import re

TEXT = rb'[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+'
"""What stands between the quotes of a string. Never crosses a line end, so it finds the same however the lines come."""

_PADDING = b'"obfuscation":"'  # OpenAI's, as long as it likes, so that nobody reads the text from the lengths
_text = re.compile(TEXT).match
_NONE = b"\0"
_BACKSLASH, _CR = b"\\\r"  # as numbers they are found twice as fast


class Alike:
    """What stands around the text of a stream's last event that brought one and nothing that matters."""

    __slots__ = ("_after", "_before", "_lines", "_pad")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is like it from now on."""
        self._before = self._after = _NONE
        self._pad = b""
        self._lines = 0

    def learn(self, event: bytes, start: int, end: int) -> None:
        """Its text goes from `start` to `end`."""
        before, after = event[:start], event[end:]
        if not after.endswith(b"\n\n") or _BACKSLASH in before or _BACKSLASH in after:
            return self.forget()
        head, padding, rest = after.partition(_PADDING)
        if padding:
            self._pad, after = head + padding, rest[rest.find(b'"') :]
        else:
            self._pad = b""
        self._before, self._after = before, after
        self._lines = event.count(b"\n")
        return None

    def run(self, events: bytes) -> tuple[int, int]:
        """(How many bytes at the beginning of `events` are whole events that are like it, bytes of text in them.)"""
        before, pad, after = self._before, self._pad, self._after
        size = place = count = 0
        while events.startswith(before, place):
            start = place + len(before)
            end = close = _text(events, start).end()  # type: ignore[union-attr]  # it matches nothing, at least
            if pad:
                if not events.startswith(pad, end):
                    break
                close = events.find(b'"', end + len(pad))
            if not events.startswith(after, close):
                break
            size += end - start
            place = close + len(after)
            count += 1
        if _BACKSLASH in events and place:
            size -= events.count(b"\\", 0, place) + 3 * events.count(b"\\u", 0, place)
        if pad and (_CR in events or events.count(b"\n", 0, place) != count * self._lines):
            return 0, 0  # there is an event in the padding
        return place, size


def heard(text: bytes) -> int:
    """Roughly the bytes of a string of which these stand between its quotes."""
    return len(text) - text.count(b"\\") - 3 * text.count(b"\\u") if b"\\" in text else len(text)
