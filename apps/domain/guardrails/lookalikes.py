"""Characters that look like a blank, a dash, a digit or a letter, and are none to whoever reads bytes; and those that
nobody sees. A model reads over both."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Where they are; the rest of Unicode has none.
_BLOCKS = (
    *((0x80, 0xFF), (0x17F, 0x17F), (0x2B0, 0x2E3), (0x34F, 0x34F), (0x600, 0xFFF), (0x1000, 0x10FF)),
    *((0x1160, 0x1160), (0x1369, 0x1371), (0x1680, 0x1680), (0x17B4, 0x1820), (0x1940, 0x1AA0), (0x1B50, 0x1C60)),
    *((0x1D2C, 0x1DBB), (0x2000, 0x218F), (0x2212, 0x2212), (0x2460, 0x24FF), (0x2776, 0x2793), (0x2C7C, 0x2C7D)),
    *((0x3000, 0x3000), (0x3164, 0x3164), (0xA620, 0xA630), (0xA7F1, 0xA7F4), (0xA8D0, 0xA9FF), (0xAA50, 0xAA5A)),
    *((0xABF0, 0xABFA), (0xFE00, 0xFE0F), (0xFE50, 0xFE6F), (0xFEFF, 0xFFFB), (0x104A0, 0x104A9), (0x107A5, 0x107A5)),
    *((0x10A40, 0x10A43), (0x10D30, 0x10D49), (0x10E60, 0x10E68), (0x11052, 0x11DFF), (0x11F50, 0x11F59)),
    *((0x13430, 0x1345F), (0x16A60, 0x16D79), (0x1BCA0, 0x1BCA3), (0x1CCD6, 0x1CCF9), (0x1D173, 0x1D17A)),
    *((0x1D400, 0x1D7FF), (0x1E140, 0x1E149), (0x1E2F0, 0x1E2F9), (0x1E4F0, 0x1E4F9), (0x1E5F1, 0x1E5FA)),
    *((0x1E950, 0x1E959), (0x1F100, 0x1F18F), (0x1FBF0, 0x1FBF9), (0xE0000, 0xE01EF)),
)
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2212\ufe58\ufe63\uff0d")
_UNSEEN = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def _told(point: int) -> str | None:
    """What it looks like: "" for nothing, None for itself."""
    character = chr(point)
    if character in _DASHES:
        return "-"
    if 0xE0020 <= point <= 0xE007E:  # tags
        return chr(point - 0xE0000)
    kind = unicodedata.category(character)
    if character in _UNSEEN or kind == "Cf" or 0xFE00 <= point <= 0xFE0F or 0xE0000 <= point <= 0xE01EF:
        return ""
    if kind == "Zs":
        return " "
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    if point < 0x100:  # letters with an accent, and the like
        return None
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() else None


def _class(points: Iterable[int]) -> str:
    """As ranges."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and point == ranges[-1][1] + 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


_TABLE = {
    point: looks
    for first, last in _BLOCKS
    for point in range(first, last + 1)
    if (looks := _told(point)) is not None and looks != chr(point)
}
_BMP = 0xFFFF
_BEYOND = "\U00010000-\U0001efff\U0001f100-\U0001f18f\U0001fbf0-\U0001fbf9\U000e0000-\U000e01ef"  # no emoji
_FAR = re.compile(f"[{_BEYOND}]")


def _finding(points: list[int]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """In texts without, and with, what lies beyond the BMP: there a class is read range by range, so it has few, and
    each character is looked up."""
    near = _class(point for point in points if point <= _BMP)
    return re.compile(f"[{near}]"), re.compile(f"[{near}{_BEYOND}]")


_LOOKS = _finding([point for point, looks in _TABLE.items() if looks])
_GONE = _finding([point for point, looks in _TABLE.items() if not looks])


def plain(text: str) -> tuple[str, list[int]]:
    """The text as it looks, and where in the former what nobody sees was left out, in order. The rest is as long."""
    if text.isascii():
        return text, []
    is_far = _FAR.search(text) is not None
    text = _LOOKS[is_far].sub(_seen, text)
    gone = [match.start() for match in _GONE[is_far].finditer(text) if _is_gone(match)]
    return (_GONE[is_far].sub(_left, text) if gone else text), gone


def _seen(match: re.Match[str]) -> str:
    return _TABLE.get(ord(match[0])) or match[0]


def _is_gone(match: re.Match[str]) -> bool:
    return _TABLE.get(ord(match[0])) == ""


def _left(match: re.Match[str]) -> str:
    return "" if _is_gone(match) else match[0]


def placed(gone: list[int], *, start: int, end: int) -> tuple[int, int]:
    """A span of what `plain` gave, in the former text. `gone` is `plain`'s."""
    return _former(gone, start), _former(gone, end - 1) + 1


def _former(gone: list[int], place: int) -> int:
    """By bisection: the number of those left out before it is the greatest that fits."""
    low, high = 0, len(gone)
    while low < high:
        middle = (low + high) // 2
        if gone[middle] - middle <= place:
            low = middle + 1
        else:
            high = middle
    return place + low
