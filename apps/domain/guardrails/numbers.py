"""Numbers of cards, accounts and persons, and of telephones, in the ways they are written.

What is written as its register writes it counts by its checksum. A bare row of digits passes some checksums by chance:
such a one counts where a word nearby says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from apps.domain.guardrails import checksums

Found = tuple[str, int, int]  # a kind, and where

# Digits with at most one separator between two of them; a day, of which logs are full, is told from them.
_ROW = re.compile(r"(?:19|20)[0-9]{2}([-/.])[01][0-9]\1[0-3][0-9](?![0-9])|[0-9]++(?:[ .\-/][0-9]++)*")
_FEWEST = 9  # digits
_GROUP = re.compile(r"[0-9]++")
_MOST_GROUPS = 19
_NEARBY = 40  # characters in which a word may stand before what it says

_WORDS = {
    "ssn": re.compile(r"\bssn|social.?security|tax.?(?:payer)?.?id", re.I),
    "nhs": re.compile(r"\bnhs\b|national.?health", re.I),
    "bsn": re.compile(r"\bbsn\b|burgerservice|sofi", re.I),
    "cpf": re.compile(r"\bcpf\b|cadastro", re.I),
    "aadhaar": re.compile(r"aadha+r|\buidai\b|\buid\b", re.I),
    "phone": re.compile(
        r"\btel\b|telef|phone|\bfon\b|mobil|handy|\bcell\b|\bcall(?: me| us)? (?:at|on)\b|\bfax\b|whatsapp"
        r"|móvil|portable",
        re.I,
    ),
}


class _Shape(NamedTuple):
    """Lengths of groups, and what may part them. `word` None: no word is needed."""

    lengths: tuple[int, ...]
    is_one: Callable[[str], bool]
    word: str | None = None
    kind: str = "national_id"
    separators: str = " -./"


def _is_american(digits: str) -> bool:
    return digits[-10] not in "01" and digits[-7] not in "01" and digits[-9:-7] != "11"


def _is_french(digits: str) -> bool:
    return digits[0] == "0" and digits[1] != "0"


def _is_british(digits: str) -> bool:
    return digits[0] == "0" and digits[1] in "12378"


_CARDS = frozenset(
    {
        *((4, 4, 4, last) for last in (1, 2, 3, 4)),
        *((4, 4, 4, 4, last) for last in (1, 2, 3)),
        *((4, 6, 5), (4, 6, 4), (6, 13), (8, 8)),
    }
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
    _Shape((4, 4, 4), checksums.in_aadhaar),
    _Shape((12,), checksums.in_aadhaar, "aadhaar"),
    *(_Shape(lengths, _is_american, None, "phone", "-.") for lengths in ((3, 3, 4), (1, 3, 3, 4))),
    _Shape((2, 2, 2, 2, 2), _is_french, None, "phone", " .-"),
    *(
        _Shape(lengths, _is_british, None, "phone", " ")
        for lengths in ((3, 4, 4), (4, 7), (4, 3, 4), (5, 6), (5, 3, 3))
    ),
    *(
        _Shape((area, rest), _is_french, None, "phone", "/")  # Germans'
        for area in (3, 4, 5)
        for rest in (5, 6, 7, 8)
    ),
)
_BY_LENGTHS: dict[tuple[int, ...], list[_Shape]] = {}
for _shape in _IDS:
    _BY_LENGTHS.setdefault(_shape.lengths, []).append(_shape)
# By the length of the first group: of how many groups something that begins so is.
_SIZES = {
    first: sorted({len(lengths) for lengths in (*_BY_LENGTHS, *_CARDS) if lengths[0] == first}, reverse=True)
    for first in {lengths[0] for lengths in (*_BY_LENGTHS, *_CARDS)}
}

_LETTERED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?P<iban>[A-Z]{2}[0-9]{2}(?>(?:[ -]?[A-Z0-9]){11,30}))"  # and perhaps the beginning of what follows it
    r"|(?:(?P<nino>[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])"
    r"|(?P<dni>[0-9]{8}[ -]?[A-Z]|[XYZ][ -]?[0-9]{7}[ -]?[A-Z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}-?[A-Z])"
    r"|(?P<cf>[A-Z]{3} ?[A-Z]{3} ?[0-9]{2}[A-Z][0-9]{2} ?[A-Z][0-9]{3}[A-Z])"
    r"|(?P<nir>[1-478] ?[0-9]{2} ?[0-9]{2} ?2[AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})"
    r")(?![A-Za-z0-9]))"
)
_LETTERED_KINDS: dict[str, Callable[[str], bool]] = {
    "nino": checksums.uk_nino,
    "dni": checksums.es_dni,
    "cf": checksums.it_codice_fiscale,
    "nir": checksums.fr_nir,
}
_COUNTRY = (
    r"(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]"
    r"|6[7-9][0-9]|8[0578][0-9]|9[679][0-9])"
)
# E.164, with or without separators, and an area in brackets. Each begins with what is quickly searched for.
_ABROAD = re.compile(rf"\+{_COUNTRY}(?>(?:[ .\-/]?\(?[0-9]\)?){{6,13}})(?!_*+[A-Za-z0-9])")
_AREA = re.compile(r"\((?:0[1-9][0-9]{1,4}|[2-9][0-9]{2})\)[ -]?[0-9]{3,4}[-. /]?[0-9]{3,5}(?!_*+[A-Za-z0-9])")
_DIGITS = frozenset("0123456789")
_WORD = _DIGITS.union("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_BLANKS = str.maketrans("", "", " .-/")


def rows(text: str, start: int, end: int) -> Iterator[Found]:
    """What is written in digits alone, in a stretch of text that begins and ends away from what may be one."""
    for row in _ROW.finditer(text, start, end):
        first, last = row.span()
        if last - first >= _FEWEST and row[1] is None:
            yield from _row(text, first, last)


def lettered(text: str, start: int, end: int) -> Iterator[Found]:
    """What has letters in it, likewise."""
    for match in _LETTERED.finditer(text, start, end):
        name = match.lastgroup or ""
        plain = match[0].translate(_BLANKS)
        if name != "iban":
            if _LETTERED_KINDS[name](plain):
                yield "national_id", match.start(), match.end()
        elif size := _iban(plain):
            last = match.start() + _end_of(match[0], size)
            if not _is_word(text, last, step=1):
                yield "iban", match.start(), last


def phones(text: str) -> Iterator[Found]:
    """Those that a sign begins."""
    for pattern in (_ABROAD, _AREA):
        for match in pattern.finditer(text):
            if 9 <= sum(map(_DIGITS.__contains__, match[0])) <= 15 and not _is_word(text, match.start() - 1, step=-1):
                yield "phone", match.start(), match.end()


def _row(text: str, start: int, end: int) -> Iterator[Found]:
    groups = [group.span() for group in _GROUP.finditer(text, start, end)]
    if _is_word(text, start - 1, step=-1):
        groups.pop(0)
    if groups and _is_word(text, end, step=1):
        groups.pop()
    lengths = [stop - begin for begin, stop in groups]
    if sum(lengths) < _FEWEST:
        return
    at = 0
    while at < len(groups):
        kind, size = _at(text, groups, lengths, at)
        if kind:
            yield kind, groups[at][0], groups[at + size - 1][1]
        at += size


def _at(text: str, groups: list[tuple[int, int]], lengths: list[int], at: int) -> tuple[str, int]:
    """What begins with this group, and how many it takes; "" and one: nothing."""
    first = lengths[at]
    if 13 <= first <= 19 and _stands_alone(text, *groups[at]) and checksums.card(text[slice(*groups[at])]):
        return "card", 1
    shapes = [tuple(lengths[at : at + size]) for size in _SIZES.get(first, ())]
    for shape_found in shapes:
        size = len(shape_found)
        is_shaped = shape_found in _CARDS and _is_even(text, groups, at, size)
        if is_shaped and checksums.card(_digits(text, groups, at, size)):
            return "card", size
    if size := _spelt_out(text, groups, lengths, at):
        return "card", size
    for shape_found in shapes:
        for shape in _BY_LENGTHS.get(shape_found, ()):
            if _has(text, groups, at, shape):
                return shape.kind, len(shape_found)
    if 9 <= first <= 13 and _is_apart(text, groups, at, 1) and _says(text, groups[at][0], "phone"):
        return "phone", 1
    return _said_phone(text, groups, lengths, at)


def _has(text: str, groups: list[tuple[int, int]], at: int, shape: _Shape) -> bool:
    size = len(shape.lengths)
    if not _is_apart(text, groups, at, size):
        return False
    if size > 1 and text[groups[at][1]] not in shape.separators:
        return False
    if not shape.is_one(_digits(text, groups, at, size)):
        return False
    return shape.word is None or _says(text, groups[at][0], shape.word)


def _spelt_out(text: str, groups: list[tuple[int, int]], lengths: list[int], at: int) -> int:
    """A card in groups of a digit or two, or of any other length: all of its row and nothing else."""
    rest = len(groups) - at
    if not 3 <= rest <= _MOST_GROUPS or (at and _follows(text, groups, at)) or not _is_even(text, groups, at, rest):
        return 0
    return rest if 13 <= sum(lengths[at:]) <= 19 and checksums.card(_digits(text, groups, at, rest)) else 0


def _said_phone(text: str, groups: list[tuple[int, int]], lengths: list[int], at: int) -> tuple[str, int]:
    """A row of groups of which a word says that it is a telephone's."""
    if len(groups) - at > 6:
        return "", 1
    size, total = 0, 0
    while at + size < len(groups) and total + lengths[at + size] <= 13 and size < 6:
        total += lengths[at + size]
        size += 1
    is_one = size > 1 and total >= 9 and not (at and _follows(text, groups, at)) and at + size == len(groups)
    return ("phone", size) if is_one and _says(text, groups[at][0], "phone") else ("", 1)


def _digits(text: str, groups: list[tuple[int, int]], at: int, size: int) -> str:
    return text[groups[at][0] : groups[at + size - 1][1]].translate(_BLANKS)


def _is_even(text: str, groups: list[tuple[int, int]], at: int, size: int) -> bool:
    """One kind of separator throughout."""
    first = text[groups[at][1]]
    return all(text[groups[place][1]] == first for place in range(at + 1, at + size - 1))


def _follows(text: str, groups: list[tuple[int, int]], at: int) -> bool:
    """Whether the group before belongs to the same row."""
    return groups[at - 1][1] + 1 == groups[at][0]


def _is_apart(text: str, groups: list[tuple[int, int]], at: int, size: int) -> bool:
    """Whether what lies before and behind is parted from it otherwise than its own groups are."""
    inner = {text[groups[place][1]] for place in range(at, at + size - 1)} or {".", "-", "/"}
    before = text[groups[at][0] - 1] if at else ""
    behind = text[groups[at + size - 1][1]] if at + size < len(groups) else ""
    return before not in inner and behind not in inner


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Not the digits before or behind a decimal point."""
    before_point = text[end : end + 1] == "." and text[end + 1 : end + 2] in _DIGITS and text[end + 1 : end + 2]
    return not before_point and not (text[start - 1 : start] == "." and start > 1 and text[start - 2] in _DIGITS)


def _iban(plain: str) -> int:
    """How many of its characters are an IBAN: a word may follow one after a blank."""
    size = checksums.iban_length(plain[:2])
    return size if 0 < size <= len(plain) and checksums.iban(plain[:size]) else 0


def _end_of(written: str, size: int) -> int:
    """Where so many characters that are no separators end."""
    for place, character in enumerate(written):
        size -= character not in " .-/"
        if not size:
            return place + 1
    return len(written)


def _says(text: str, start: int, word: str) -> bool:
    return _WORDS[word].search(text, max(0, start - _NEARBY), start) is not None


def _is_word(text: str, place: int, *, step: int) -> bool:
    """Of a language that parts its words from numbers by blanks. Underscores that stand about it, as for emphasis, are
    none; `step` is away from it."""
    while 0 <= place < len(text) and text[place] == "_":
        place += step
    return 0 <= place < len(text) and text[place] in _WORD
