"""All detectors over one text. What could hold no finding, as nearly all of a text, is passed by at the speed at which
bytes are searched; the rest is read closely."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from apps.domain.guardrails import lookalikes, numbers, rows, secrets

_NUMERIC = frozenset({"card", "iban", "phone", "national_id"})
_SEPARATORS = " -./()\xa0\xad"


def _class(byte: int) -> int:
    character = chr(byte)
    if character in "0123456789":
        return ord("0")
    if "A" <= character <= "Z":
        return ord("A")
    return ord(" " if character in _SEPARATORS else "x")


_CLASSES = bytes(map(_class, range(256)))
# One of these is in whatever has letters in it: digits 0, capitals A, and whatever separates them.
_LETTERED = (
    *(b"AA00 ", b"AA00A", b"AA00000", b"A 00 00 00", b"00A00", b"00 A000", b"0000000A", b"0000000 A", b"000 000A"),
    *(b"000 000 A", b"0 0A 0"),
)
# Of these, one is in a text that has such a number in it when its separators are taken out.
_ROW = b"000000000"
_DENSE = (b"AA00A", b"AA00000", b"A00A000", b"0000000A", b"0A000000")
_AROUND = 48  # characters: what is longest, and the words before it
_DOMAIN = re.compile(r"@((?:[^\W_][\w-]{0,62}+\.){1,8})([^\W\d_]{2,24}+)(?!-?[^\W_]|_+[^\W_])")
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}")
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "html", "json", "tgz", "zip", "py"})


class Finding(NamedTuple):
    """A kind, and where in the text. For whoever masks it; nobody else is told where."""

    kind: str
    start: int
    end: int


def scan(text: str, kinds: Collection[str]) -> list[Finding]:
    """In their order; none overlaps another. As many characters are read as the text has, in any case."""
    text, gone = lookalikes.plain(text)
    latin = text.encode("latin-1", "replace")
    found: list[Finding] = []
    if "secret" in kinds:
        found += [Finding("secret", *span) for span in secrets.found(text, latin)]
    if not _NUMERIC.isdisjoint(kinds):
        classes = latin.translate(_CLASSES)
        dense = classes.translate(None, b" ")
        if _ROW in dense:
            found += [Finding(*each) for each in rows.found(text, latin)]
        if any(hint in dense for hint in _DENSE):
            for start, end in _stretches(classes, _LETTERED):
                found += [Finding(*each) for each in numbers.lettered(text, latin, start, end)]
        found += [Finding(*each) for each in numbers.phones(text, latin)]
    if "email" in kinds and "@" in text:
        found += [Finding("email", *span) for span in _emails(text)]
    if not found:
        return found
    found = [each for each in _apart(found) if each.kind in kinds]
    if not gone:
        return found
    return [Finding(each.kind, *lookalikes.placed(gone, start=each.start, end=each.end)) for each in found]


def _stretches(classes: bytes, signs: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """What is to be read closely, each once."""
    marked: list[int] = []
    for sign in signs:
        place = classes.find(sign)
        while place >= 0:
            marked.append(place)
            place = classes.find(sign, place + _AROUND)
    start = end = -1
    for place in sorted(marked):
        if place - _AROUND > end:
            if end >= 0:
                yield start, end
            start = max(0, place - _AROUND)
        end = place + 2 * _AROUND
    if end >= 0:
        yield start, min(end, len(classes))


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for match in _DOMAIN.finditer(text):
        at = match.start()
        before = text[max(0, at - 64) : at]
        local = _LOCAL.match(before[::-1])
        if local is None or match[2].lower() in _FILES or match[1][:-1].replace(".", "").isdigit():
            continue
        name = local[0][::-1]
        if name == "git" and text[match.end() : match.end() + 1] == ":":
            continue  # where a repository lies
        yield at - len(name), match.end()


def _apart(found: list[Finding]) -> list[Finding]:
    """The first of those that overlap, as they were found: what is a card is no telephone's number besides."""
    taken: list[Finding] = []
    for each in sorted(found, key=lambda each: each.start):
        if taken and each.start < taken[-1].end:
            if _ORDER[each.kind] < _ORDER[taken[-1].kind]:
                taken[-1] = each
            continue
        taken.append(each)
    return taken


_ORDER = {"secret": 0, "iban": 1, "card": 2, "national_id": 3, "email": 4, "phone": 5}
