"""Numbers of accounts and persons that have letters in them, and of telephones that a sign begins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from apps.domain.guardrails import checksums
from apps.domain.guardrails.rows import Found, is_word

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
_BLANKS = str.maketrans("", "", " .-/")


def lettered(text: str, latin: bytes, start: int, end: int) -> Iterator[Found]:
    """What has letters in it, in a stretch of text that begins and ends away from what may be one. `latin` is the text
    in Latin-1, with a byte for each character."""
    for match in _LETTERED.finditer(text, start, end):
        name = match.lastgroup or ""
        plain = match[0].translate(_BLANKS)
        if name != "iban":
            if _LETTERED_KINDS[name](plain):
                yield "national_id", match.start(), match.end()
        elif size := _iban(plain):
            last = match.start() + _end_of(match[0], size)
            if not is_word(latin, last, step=1):
                yield "iban", match.start(), last


def phones(text: str, latin: bytes) -> Iterator[Found]:
    """Those that a sign begins."""
    for pattern in (_ABROAD, _AREA):
        for match in pattern.finditer(text):
            if 9 <= sum(map(_DIGITS.__contains__, match[0])) <= 15 and not is_word(latin, match.start() - 1, step=-1):
                yield "phone", match.start(), match.end()


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
