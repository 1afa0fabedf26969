"""Numbers of cards and persons, and of telephones, that are written in digits alone.

What is written as its register writes it counts by its checksum. A bare row of digits passes some checksums by chance:
such a one counts where a word nearby says what it is.

Rows are read as bytes, a window of their groups at a time: however long one is, it takes time in proportion and no
memory besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Iterator
from itertools import accumulate
from typing import NamedTuple

from apps.domain.guardrails import checksums

Found = tuple[str, int, int]  # a kind, and where

# What nine digits begin, with at most one separator between two of them; or a day, of which logs are full.
_BEGUN = re.compile(
    rb"[0-9](?<![0-9][0-9])(?:"
    rb"(?:(?<=1)9|(?<=2)0)[0-9]{2}([-/.])[01][0-9]\1[0-3][0-9](?![0-9])"
    rb"|(?:[ .\-/]?[0-9]){8})"
)
_FEWEST = 9  # digits
_WINDOW = 64  # groups that are read at a time
_GROUPS = re.compile(rb"([0-9]++)(?:[ .\-/][0-9]++){0,%d}" % (_WINDOW - 1))
# What stands about the digits of a network card's address, or in the middle of a UUID.
_OCTET_BEFORE = re.compile(rb"(?<![0-9A-Za-z])(?:[0-9][A-Fa-f]|[A-Fa-f][0-9])-\Z")
_OCTET_BEHIND = re.compile(rb"-(?:[0-9][A-Fa-f]|[A-Fa-f][0-9])(?![0-9A-Za-z])")
_UUID_BEFORE = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}-\Z")
_UUID_BEHIND = re.compile(rb"-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_GOES_ON = re.compile(rb"[ .\-/][0-9]")
_PARTED = bytes.maketrans(b".-/", b"   ")
_MOST_GROUPS = 19  # of a card that is spelt out
_NEARBY = 40  # characters in which a word may stand before what it says

# Each with what is always in it, in small letters, by which it is told quickly that it is not there.
_WORDS = {
    "ssn": (("ssn", "social", "tax"), re.compile(r"\bssn|social.?security|tax.?(?:payer)?.?id", re.I)),
    "nhs": (("nhs", "health"), re.compile(r"\bnhs\b|national.?health", re.I)),
    "bsn": (("bsn", "burger", "sofi"), re.compile(r"\bbsn\b|burgerservice|sofi", re.I)),
    "cpf": (("cpf", "cadastro"), re.compile(r"\bcpf\b|cadastro", re.I)),
    "aadhaar": (("aadha", "uid"), re.compile(r"aadha+r|\buidai\b|\buid\b", re.I)),
    "phone": (
        ("tel", "fon", "phone", "mobil", "handy", "cell", "call", "fax", "whatsapp", "móvil", "portable"),
        re.compile(
            r"\btel\b|telef|phone|\bfon\b|mobil|handy|\bcell\b|\bcall(?: me| us)? (?:at|on)\b|\bfax\b|whatsapp"
            r"|móvil|portable",
            re.I,
        ),
    ),
}


class _Shape(NamedTuple):
    """Lengths of groups, and what may part them. `word` None: no word is needed."""

    lengths: tuple[int, ...]
    is_one: Callable[[str], bool]
    word: str | None = None
    kind: str = "national_id"
    separators: bytes = b" -./"
    is_even: bool = False  # the same between all of them


def _is_aadhaar(digits: str) -> bool:
    """And not three years."""
    return checksums.in_aadhaar(digits) and not all(digits[place : place + 2] in ("19", "20") for place in (0, 4, 8))


def _is_american(digits: str) -> bool:
    return digits[-10] not in "01" and digits[-7] not in "01" and digits[-9:-7] != "11"


def _is_french(digits: str) -> bool:
    return digits[0] == "0" and digits[1] != "0"


def _is_british(digits: str) -> bool:
    return digits[0] == "0" and digits[1] in "12378"


_CARDS = frozenset(
    bytes(lengths)
    for lengths in (
        *((4, 4, 4, last) for last in (1, 2, 3, 4)),
        *((4, 4, 4, 4, last) for last in (1, 2, 3)),
        *((4, 6, 5), (4, 6, 4), (6, 13), (8, 8)),
    )
)
_IDS = (
    _Shape((3, 2, 4), checksums.us_ssn),
    _Shape((9,), checksums.us_ssn, "ssn"),
    _Shape((3, 3, 4), checksums.uk_nhs, "nhs"),
    _Shape((10,), checksums.uk_nhs, "nhs"),
    _Shape((11,), checksums.de_steuer_id),
    _Shape((2, 3, 3, 3), checksums.de_steuer_id),
    _Shape((11,), checksums.pl_pesel),
    _Shape((15,), checksums.fr_nir),
    _Shape((13, 2), checksums.fr_nir),
    _Shape((1, 2, 2, 2, 3, 3, 2), checksums.fr_nir),
    _Shape((9,), checksums.nl_bsn, "bsn"),
    _Shape((4, 2, 3), checksums.nl_bsn, "bsn"),
    _Shape((3, 3, 3), checksums.nl_bsn, "bsn"),
    _Shape((3, 3, 3, 2), checksums.br_cpf),
    _Shape((11,), checksums.br_cpf, "cpf"),
    _Shape((4, 4, 4), _is_aadhaar, is_even=True),
    _Shape((12,), checksums.in_aadhaar, "aadhaar"),
    *(_Shape(lengths, _is_american, None, "phone", b"-.") for lengths in ((3, 3, 4), (1, 3, 3, 4))),
    _Shape((2, 2, 2, 2, 2), _is_french, None, "phone", b" .-"),
    *(
        _Shape(lengths, _is_british, None, "phone", b" ")
        for lengths in ((3, 4, 4), (4, 7), (4, 3, 4), (5, 6), (5, 3, 3))
    ),
    *(
        _Shape((area, rest), _is_french, None, "phone", b"/")  # Germans'
        for area in (3, 4, 5)
        for rest in (5, 6, 7, 8)
        if area + rest >= _FEWEST
    ),
)
_BY_LENGTHS: dict[bytes, list[_Shape]] = {}
for _shape in _IDS:
    _BY_LENGTHS.setdefault(bytes(_shape.lengths), []).append(_shape)


def _sizes(shapes: Collection[bytes]) -> dict[int, tuple[int, ...]]:
    """By the length of the first group: of how many groups something that begins so is, at most first."""
    found: dict[int, set[int]] = {}
    for lengths in shapes:
        found.setdefault(lengths[0], set()).add(len(lengths))
    return {first: tuple(sorted(sizes, reverse=True)) for first, sizes in found.items()}


_CARD_SIZES, _ID_SIZES = _sizes(_CARDS), _sizes(_BY_LENGTHS)
_LONGEST = max(map(len, (*_BY_LENGTHS, *_CARDS)))
_ALONE = range(_FEWEST, 20)  # digits in one piece that may be something
# Where one of all these begins in a row, by the lengths of its groups.
_SHAPES = re.compile(
    b"[%b]|(?=%b)"
    % (
        b"".join(re.escape(bytes([size])) for size in _ALONE),
        b"|".join(re.escape(lengths) for lengths in sorted({*_BY_LENGTHS, *_CARDS}) if len(lengths) > 1),
    )
)
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGITS = frozenset(b"0123456789")
_UNDERSCORE = ord("_")
_TIGHT = frozenset(b".-/")


def found(text: str, latin: bytes) -> Iterator[Found]:
    """`latin` is the text in Latin-1, with a byte for each character."""
    place = 0
    while (begun := _BEGUN.search(latin, place)) is not None:
        if begun[1] is not None:
            place = begun.end()
            continue
        place = yield from _row(text, latin, begun.start())


class _Window(NamedTuple):
    """Some groups of a row. `key`: their lengths as bytes, 255 for more. `is_first`, `is_last`: nothing of the row
    comes before them, or behind them."""

    text: str
    latin: bytes
    starts: list[int]
    stops: list[int]
    key: bytes
    is_first: bool
    is_last: bool

    def digits(self, at: int, size: int) -> str:
        return self.latin[self.starts[at] : self.stops[at + size - 1]].translate(None, b" .-/").decode()

    def is_even(self, at: int, size: int) -> bool:
        """One kind of separator throughout."""
        latin, stops = self.latin, self.stops
        first = latin[stops[at]]
        return all(latin[stops[place]] == first for place in range(at + 1, at + size - 1))

    def is_apart(self, at: int, size: int) -> bool:
        """Whether what lies before and behind is parted from it otherwise than its own groups are."""
        latin, stops = self.latin, self.stops
        inner = {latin[stop] for stop in stops[at : at + size - 1]} or _TIGHT
        if (at or not self.is_first) and latin[self.starts[at] - 1] in inner:
            return False
        is_end = self.is_last and at + size == len(stops)
        return is_end or latin[stops[at + size - 1]] not in inner

    def is_address(self, at: int, size: int) -> bool:
        """Of a computer: IPv4's, or a piece of a network card's or of a UUID."""
        latin, start, end = self.latin, self.starts[at], self.stops[at + size - 1]
        parts = latin[start:end].split(b".")
        if len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts):
            return True
        before = latin[max(0, start - 10) : start]
        if self.key[at] == 2:
            return _OCTET_BEFORE.search(before) is not None or _OCTET_BEHIND.match(latin, end) is not None
        return _UUID_BEFORE.search(before) is not None and _UUID_BEHIND.match(latin, end) is not None

    def stands_alone(self, at: int) -> bool:
        """Not the digits before or behind a decimal point."""
        latin, start, end = self.latin, self.starts[at], self.stops[at]
        if latin[end : end + 1] == b"." and latin[end + 1 : end + 2].isdigit():
            return False
        return latin[start - 1 : start] != b"." or start < 2 or latin[start - 2] not in _DIGITS

    def says(self, at: int, word: str) -> bool:
        signs, pattern = _WORDS[word]
        end = self.starts[at]
        start = max(0, end - _NEARBY)
        near = self.text[start:end].lower()
        for sign in signs:
            if sign in near:
                return pattern.search(self.text, start, end) is not None
        return False


def _row(text: str, latin: bytes, start: int) -> Generator[Found, None, int]:
    """Returns where it ends."""
    match = _GROUPS.match(latin, start)
    assert match is not None
    if is_word(latin, start - 1, step=-1):
        if match.end(1) == match.end():
            return match.end()
        start = match.end(1) + 1
        match = _GROUPS.match(latin, start)
        assert match is not None
    is_first = True
    while True:
        end = match.end()
        is_last = _GOES_ON.match(latin, end) is None
        if is_first and is_last and match.end(1) == end:
            yield from _alone(text, latin, start, end)
            return end
        window = _window(text, latin, start, end, is_first=is_first, is_last=is_last)
        at = yield from _read(window)
        if is_last:
            return end
        start, is_first = window.starts[at], False
        match = _GROUPS.match(latin, start)
        assert match is not None


def _alone(text: str, latin: bytes, start: int, end: int) -> Iterator[Found]:
    """A row of one group."""
    if end - start in _ALONE and not is_word(latin, end, step=1):
        kind, _ = _at(_Window(text, latin, [start], [end], bytes((end - start,)), is_first=True, is_last=True), 0)
        if kind:
            yield kind, start, end


def _window(text: str, latin: bytes, start: int, end: int, *, is_first: bool, is_last: bool) -> _Window:
    """Without the last group, if a word goes on with it."""
    sizes = list(map(len, latin[start:end].translate(_PARTED).split()))
    if is_last and is_word(latin, end, step=1):
        sizes.pop()
    stops = [start + stop + place for place, stop in enumerate(accumulate(sizes))]
    starts = [stop - size for stop, size in zip(stops, sizes, strict=True)]
    key = bytes(sizes) if max(sizes) < 256 else bytes([min(size, 255) for size in sizes])
    return _Window(text, latin, starts, stops, key, is_first, is_last)


def _read(row: _Window) -> Generator[Found, None, int]:
    """Returns with which group the next window begins."""
    key, at = row.key, 0
    limit = len(key) if row.is_last else len(key) - _LONGEST
    if row.is_first and row.is_last and 1 < len(key) <= _MOST_GROUPS:
        kind, at = _at(row, 0, is_whole=True)
        if kind:
            yield kind, row.starts[0], row.stops[at - 1]
    while (shape := _SHAPES.search(key, at)) is not None and shape.start() < limit:
        at = shape.start()
        kind, size = _at(row, at)
        if kind:
            yield kind, row.starts[at], row.stops[at + size - 1]
        at += size
    return max(at, limit)


def _at(row: _Window, at: int, *, is_whole: bool = False) -> tuple[str, int]:
    """What begins with this group, and how many it takes; "" and one: nothing. `is_whole`: a row begins with it, and
    ends in the same window."""
    key = row.key
    first = key[at]
    if 13 <= first <= 19 and row.stands_alone(at) and checksums.card(row.digits(at, 1)):
        return "card", 1
    left = len(key) - at
    if first in _CARD_SIZES and left > 1 and checksums.begins_card(row.latin[row.starts[at] : row.starts[at] + 4]):
        for size in _CARD_SIZES[first]:
            if size <= left and key[at : at + size] in _CARDS and _is_card(row, at, size):
                return "card", size
    if is_whole and (size := _spelt_out(row)):
        return "card", size
    for size in _ID_SIZES.get(first, ()):
        for shape in _BY_LENGTHS.get(key[at : at + size], ()) if size <= left else ():
            if _has(row, at, shape):
                return shape.kind, size
    if 9 <= first <= 13 and row.is_apart(at, 1) and row.says(at, "phone"):
        return "phone", 1
    return _said_phone(row) if is_whole else ("", 1)


def _is_card(row: _Window, at: int, size: int) -> bool:
    return row.is_even(at, size) and checksums.card(row.digits(at, size))


def _has(row: _Window, at: int, shape: _Shape) -> bool:
    size = len(shape.lengths)
    if not row.is_apart(at, size):
        return False
    if size > 1 and row.latin[row.stops[at]] not in shape.separators:
        return False
    if shape.is_even and not row.is_even(at, size):
        return False
    if shape.word is not None and not row.says(at, shape.word):
        return False
    return shape.is_one(row.digits(at, size)) and not (size > 2 and row.is_address(at, size))


def _spelt_out(row: _Window) -> int:
    """A card in groups of a digit or two, or of any other length: all of its row and nothing else."""
    size = len(row.key)
    if size < 3 or not 13 <= sum(row.key) <= 19 or not row.is_even(0, size):
        return 0
    return size if checksums.card(row.digits(0, size)) else 0


def _said_phone(row: _Window) -> tuple[str, int]:
    """A row of groups of which a word says that it is a telephone's."""
    size = len(row.key)
    is_one = size <= 6 and 9 <= sum(row.key) <= 13
    return ("phone", size) if is_one and row.says(0, "phone") else ("", 1)


def is_word(latin: bytes, place: int, *, step: int) -> bool:
    """Of a language that parts its words from numbers by blanks. Underscores that stand about it, as for emphasis, are
    none; `step` is away from it."""
    while 0 <= place < len(latin) and latin[place] == _UNDERSCORE:
        place += step
    return 0 <= place < len(latin) and latin[place] in _WORD
