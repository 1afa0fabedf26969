"""Whether digits are a number of some register, by its own rule. Digits come as text without separators.

Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 and ISO/IEC 7064 (mod 97-10, mod 11,10), D. Verhoeff 1969, and each register's
own description.
"""

from __future__ import annotations

from functools import lru_cache

# Where cards begin, with the lengths that they have. From the narrowest range that is issued, not from what could be.
_CARDS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (300, 305, frozenset({14, 16, 19})),  # Diners Club
    (36, 36, frozenset({14, 16, 19})),
    (38, 39, frozenset({14, 16, 19})),
    (3528, 3589, frozenset({16, 19})),  # JCB
    (4, 4, frozenset({13, 16, 19})),  # Visa
    (50, 50, frozenset({13, 15, 16, 18, 19})),  # Maestro
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),
    (56, 58, frozenset({13, 15, 16, 18, 19})),  # Maestro
    (6011, 6011, frozenset({16, 19})),  # Discover
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (63, 63, frozenset({13, 15, 16, 18, 19})),  # Maestro
    (644, 649, frozenset({16, 19})),  # Discover
    (65, 65, frozenset({16, 19})),  # Discover, RuPay
    (67, 67, frozenset({13, 15, 16, 18, 19})),  # Maestro
    (2200, 2204, frozenset({16, 19})),  # Mir
)
# https://www.swift.com/standards/data-standards/iban-international-bank-account-number
_IBAN_LENGTHS = {
    **{"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29},
    **{"BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29},
    **{"ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28},
    **{"HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28},
    **{"LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20},
    **{"MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25},
    **{"QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27},
    **{"SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30},
}
_VERHOEFF_D = tuple(
    tuple(int(digit) for digit in row)
    for row in (
        *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
        *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
    )
)
_VERHOEFF_P = tuple(
    tuple(int(digit) for digit in row)
    for row in (
        *("0123456789", "1576283094", "5803796142", "8916043527"),
        *("9453126870", "4286573901", "2793806415", "7046913258"),
    )
)
_LUHN_ONCE = bytes.maketrans(b"0123456789", bytes(range(10)))
_LUHN_TWICE = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def luhn(digits: str) -> bool:
    raw = digits.encode()
    return (sum(raw[-1::-2].translate(_LUHN_ONCE)) + sum(raw[-2::-2].translate(_LUHN_TWICE))) % 10 == 0


def card(digits: str) -> bool:
    return len(digits) in _card_lengths(digits[:4]) and luhn(digits) and len(set(digits)) > 1


def begins_card(first: bytes) -> bool:
    """Whether cards of any length begin with these four digits."""
    return bool(_card_lengths(first.decode()))


@lru_cache(maxsize=10_000)
def _card_lengths(first: str) -> frozenset[int]:
    """Of cards that begin with these four digits."""
    begin = ((int(first[: len(str(low))]), low, high, sizes) for low, high, sizes in _CARDS)
    return frozenset().union(*(sizes for value, low, high, sizes in begin if low <= value <= high))


def iban_length(country: str) -> int:
    """0: a country that has none."""
    return _IBAN_LENGTHS.get(country, 0)


def iban(text: str) -> bool:
    """In capitals, without blanks, as long as its country's are."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def verhoeff(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[place % 8][int(digit)]]
    return check == 0


def us_ssn(digits: str) -> bool:
    """It has no checksum; these areas, groups and serials are never given out, and some numbers are known from
    advertisements."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "123456789")


def uk_nhs(digits: str) -> bool:
    check = 11 - _weighted(digits[:9], range(10, 1, -1)) % 11
    return check != 10 and check % 11 == int(digits[9]) and len(set(digits)) > 2


def uk_nino(text: str) -> bool:
    """In capitals. It has no checksum; these letters are never given out."""
    first, second, prefix = text[0], text[1], text[:2]
    if first in "DFIQUV" or second in "DFIQUVO" or prefix in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"):
        return False
    return text[-1] in "ABCD"


def de_steuer_id(digits: str) -> bool:
    """Of its first ten digits just one comes twice or three times."""
    body = digits[:10]
    repeated = [count for count in map(body.count, set(body)) if count > 1]
    if body[0] == "0" or len(repeated) != 1 or repeated[0] > 3:
        return False
    product = 10
    for digit in body:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def fr_nir(text: str) -> bool:
    """Thirteen characters and their key; in Corsica the department is 2A or 2B."""
    department = {"2A": "19", "2B": "18"}.get(text[5:7])
    digits = text[:5] + department + text[7:] if department else text
    if digits[0] not in "123478" or not digits.isdigit():
        return False
    month = int(text[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def es_dni(text: str) -> bool:
    """Eight digits and their letter, or X, Y or Z before seven: an alien's."""
    digits = {"X": "0", "Y": "1", "Z": "2"}.get(text[0], text[0]) + text[1:8]
    return _DNI[int(digits) % 23] == text[8]


def it_codice_fiscale(text: str) -> bool:
    if text[8] not in "ABCDEHLMPRST":
        return False
    even = sum(int(character, 36) - (10 if character.isalpha() else 0) for character in text[1:15:2])
    odd = sum(_CF_ODD[character] for character in text[0:15:2])
    return chr(65 + (even + odd) % 26) == text[15]


def nl_bsn(digits: str) -> bool:
    return _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and len(set(digits)) > 2


def pl_pesel(digits: str) -> bool:
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    if not (1 <= month <= 12 and 1 <= day <= _LONGEST_MONTH[month - 1]):
        return False
    return _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def br_cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    return all(_weighted(digits[:size], range(size + 1, 1, -1)) * 10 % 11 % 10 == int(digits[size]) for size in (9, 10))


def in_aadhaar(digits: str) -> bool:
    return digits[0] not in "01" and len(set(digits)) > 2 and verhoeff(digits)


def _weighted(digits: str, weights: range | tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
