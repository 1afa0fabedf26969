"""Whole registers: every country's IBAN, every network's cards, every writing of a number, every character that looks
like another. What a table lacks is found by none of the few examples that stand for a kind."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from apps.domain.guardrails import lookalikes
from apps.domain.guardrails.kinds import KINDS
from apps.domain.guardrails.scan import scan

# The register's own examples: https://www.swift.com/standards/data-standards/iban-international-bank-account-number
IBANS = """
AD1200012030200359100100 AE070331234567890123456 AL47212110090000000235698741 AT611904300234573201
AZ21NABZ00000000137010001944 BA391290079401028494 BE68539007547034 BG80BNBG96611020345678 BH67BMAG00001299123456
BR9700360305000010009795493P1 BY13NBRB3600900000002Z00AB00 CH9300762011623852957 CR05015202001026284066
CY17002001280000001200527600 CZ6508000000192000145399 DE89370400440532013000 DK5000400440116243
DO28BAGR00000001212453611324 EE382200221020145685 EG380019000500000000263180002 ES9121000418450200051332
FI2112345600000785 FO6264600001631634 FR1420041010050500013M02606 GB29NWBK60161331926819 GE29NB0000000101904917
GI75NWBK000000007099453 GL8964710001000206 GR1601101250000000012300695 GT82TRAJ01020000001210029690
HR1210010051863000160 HU42117730161111101800000000 IE29AIBK93115212345678 IL620108000000099999999
IQ98NBIQ850123456789012 IS140159260076545510730339 IT60X0542811101000000123456 JO94CBJO0010000000000131000302
KW81CBKU0000000000001234560101 KZ86125KZT5004100100 LB62099900000001001901229114 LC55HEMM000100010012001200023015
LI21088100002324013AA LT121000011101001000 LU280019400644750000 LV80BANK0000435195001 MC5811222000010123456789030
MD24AG000225100013104168 ME25505000012345678951 MK07250120000058984 MR1300020001010000123456753
MT84MALT011000012345MTLCAST001S MU17BOMM0101101030300200000MUR NL91ABNA0417164300 NO9386011117947
PK36SCBL0000001123456702 PL61109010140000071219812874 PS92PALS000000000400123456702 PT50000201231234567890154
QA58DOHB00001234567890ABCDEFG RO49AAAA1B31007593840000 RS35260005601001611379 SA0380000000608010167519
SC18SSCB11010000000000001497USD SE4550000000058398257466 SI56191000000123438 SK3112000000198742637541
SM86U0322509800000000270100 ST68000100010051845310112 SV62CENR00000000000000700025 TL380080012345678910157
TN5910006035183598478831 TR330006100519786457841326 UA213223130000026007233566001 VA59001123000012345678
VG96VPVG0000012345678901 XK051212012345678906
"""

MAESTRO = {13, 15, 16, 18, 19}
CARDS = {  # how networks' numbers begin, at both ends of each range, and how long they are
    **{"34": {15}, "37": {15}, "300": {14, 16, 19}, "305": {14, 16, 19}, "36": {14, 16, 19}, "38": {14, 16, 19}},
    **{"39": {14, 16, 19}, "3528": {16, 19}, "3589": {16, 19}, "4": {13, 16, 19}, "51": {16}, "55": {16}},
    **{"2221": {16}, "2720": {16}, "50": MAESTRO, "56": MAESTRO, "58": MAESTRO, "63": MAESTRO, "67": MAESTRO},
    **{"6011": {16, 19}, "644": {16, 19}, "649": {16, 19}, "65": {16, 19}, "62": {16, 17, 18, 19}},
    **{"2200": {16, 19}, "2204": {16, 19}},
}
NO_CARDS = ("0", "1", "7", "8", "9", "20", "2199", "2205", "2220", "2721", "306", "33", "35", "59", "60", "640", "66")

WRITINGS = {
    "phone": (
        *("020 7946 0958", "0117 4960123", "0117 496 0123", "01174 960123", "01174 960 123"),  # Britons'
        *("01 23 45 67 89", "01.23.45.67.89", "01-23-45-67-89"),  # the French
        *(
            f"{'0301234'[:area]}/{'12345678'[:rest]}" for area in (3, 4, 5) for rest in (5, 6, 7, 8) if area + rest > 8
        ),  # Germans'
        *("212-555-0123", "212.555.0123", "1-212-555-0123", "1.212.555.0123", "(212) 555-0123"),  # Americans'
        *("+12345678901234", "+123456789", "+442079460958", "+49 (0)30 123456"),
        *("phone 123456789", "phone 1234567890123", "fax 030 1234 56", "whatsapp 030 1234 567 890"),
    ),
    "national_id": (
        *("ssn 123456788", "bsn 111222333", "bsn 1112.22.333", "bsn 111.222.333", "nhs 9434765919", "nhs 943 476 5919"),
        *("111.444.777-35", "cpf 11144477735", "2341 2341 2346", "aadhaar 234123412346", "44051401359"),
        *("1 84 12 76 451 089 46", "1841276451089 46", "184127645108946", "12345678-Z", "12.345.678-Z", "X-1234567-L"),
    ),
}
BARE = (  # the same without the word, which any number might be
    *("123456788", "111222333", "111.222.333", "9434765919", "943 476 5919", "11144477735", "234123412346"),
    *("123456789", "1234567890123", "030 1234 56", "+12345678", "112-555-0123", "212-155-0123", "211-555-0123"),
    *("00 23 45 67 89", "040 7946 0958", "000/123456"),
)


@pytest.mark.parametrize("iban", IBANS.split())
def test_every_countrys_example_is_an_iban_and_one_character_more_or_less_is_none(iban):
    spaced = " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))
    for written in (iban, spaced):
        assert [(found.kind, found.end - found.start) for found in scan(f"To {written}.", {"iban"})] == [
            ("iban", len(written))
        ]
    other = chr(ord(iban[-1]) + (-1 if iban[-1] == "9" else 1))
    for wrong in (iban[:-1], f"{iban}0", iban[:-1] + other):
        assert not scan(wrong, {"iban"}), wrong


def card(begins, size):
    """With the check digit that Luhn's rule asks for, counted digit by digit."""
    body = (begins + "918273645091827364")[: size - 1]
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return f"{body}{-total % 10}"


@pytest.mark.parametrize("begins", [*CARDS, *NO_CARDS])
def test_every_networks_cards_are_found_in_their_lengths_and_no_others(begins):
    for size in range(11, 22):
        found = [each.kind for each in scan(f"It is {card(begins, size)}.", {"card"})]
        assert found == (["card"] if size in CARDS.get(begins, ()) else []), size


def test_numbers_are_found_in_every_writing_of_their_country():
    for kind, written in WRITINGS.items():
        for each in written:
            assert [found.kind for found in scan(f"So: {each}, or not.", {kind})] == [kind], each
    for each in BARE:
        assert not scan(each, {"phone", "national_id"}), each


NO_FINDINGS = {  # what is often sent, and why some of it once was a finding
    "IPv4 addresses, as a CPF or a Steuer-ID": (
        *("236.137.231.23", "103.212.230.71, 180.95.1.7", "39.110.165.245:8080", "135.197.171.90 - - [27/Nov]"),
    ),
    "UUIDs, as an Aadhaar": (
        *("907a0432-7911-4230-9724-b00840edc16f", "7bb3434a-8831-4303-8828-e2594c4b7aaa"),
        "FDDD1CF7-4141-4043-9048-F0F25C0150AB",
    ),
    "network cards, as a French telephone": ("2F-06-31-83-13-43", "06-00-66-86-89-A9", "60-A6-06-70-70-38"),
    "years, as an Aadhaar": ("2015-1988 1970", "2015 1988 1970", "from 2026-1904 1946/49 on", "2007-1919-1961"),
    "hashes": ("d41d8cd98f00b204e9800998ecf8427e", "commit 4111111111111111aaaaaaaaaaaaaaaaaaaaaaaa", "3d2533b"),
    "versions": ("Chrome/120.0.6099.109", "lodash@4.17.21", "python-3.11.0rc1", "1.2.3-20240115093000-abcdef123456"),
    "times": (
        *("1700000000", "1700000000.123456", "1700000000000000000", "20240115T102345Z", "2024-01-15T10:23:45,123+0200"),
        *("15.01.2024 10:23:45", "01/15/2024 10:23", "2024/01/15-10:23:45.678", "10:23:45.123456789"),
    ),
    "orders": ("Order #4026531807", "114-3941689-8772232", "INV-2024-000123456", "PO 4500012345", "RMA-986042783"),
    "lines of logs": (
        '10.0.12.7 - - [15/Jan/2024:10:23:45 +0000] "GET /v1/x/12345678 HTTP/1.1" 200 123456789',
        "I0115 10:23:45.123456  1234567 reflector.go:255] rv=123456789",
        "@@ -1234,56 +1234,58 @@ def found(text):",
        "pid 12345 took 1234567890 ns, 12.345678901234 %, at 0x7ffe4111111111111111",
    ),
    "pictures": (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ",
    ),
    "code": (
        "@app.route",
        "a@b",
        "x[1:2]@y.T",
        "@media (min-width: 1024px)",
        "arn:aws:iam::123456789012:role/x",
        "sk-icon",
    ),
    "places": ("52.520008, 13.404954", "-122.419416,37.774929", "1,234,567,890,123", "1 234 567.89"),
}


def test_what_is_often_sent_and_looks_like_a_number_of_somebodys_is_no_finding():
    for what, written in NO_FINDINGS.items():
        for each in written:
            for text in (each, f"So: {each}, or not.", f"{each}\n{each}\n"):
                assert not scan(text, KINDS), (what, text)


def test_what_stands_behind_a_word_and_a_hyphen_is_found_all_the_same():
    for text in (
        "SSN-123-45-6788",
        "id-2341-2341-2346-b",
        "a1-2341-2341-2346",
        "de-01-23-45-67-89",
        "cafe-123-45-6788",
    ):
        assert len(scan(text, KINDS)) == 1, text


def looks_like(character):
    """By Unicode's own properties: nothing to see, a blank, a digit, an ASCII letter or sign; None: itself."""
    point, kind = ord(character), unicodedata.category(character)
    if 0xE0020 <= point <= 0xE007E:
        return chr(point - 0xE0000)
    if kind == "Cf" or "VARIATION SELECTOR" in unicodedata.name(character, ""):
        return ""
    if kind == "Zs":
        return " "
    if unicodedata.digit(character, None) is not None:
        return str(unicodedata.digit(character))
    plain = unicodedata.normalize("NFKC", character)
    return plain if point > 0xFF and len(plain) == 1 and plain.isascii() and plain.isalnum() else None


def test_every_character_of_unicode_is_read_as_what_it_looks_like():
    missed = {}
    for point in range(0x80, sys.maxunicode + 1):
        character = chr(point)
        looks = looks_like(character)
        if looks is not None and lookalikes.plain(f"a{character}b")[0] != f"a{looks}b":
            missed[f"{point:X}"] = looks
    assert not missed


def test_letters_of_other_alphabets_are_themselves():
    text = "".join(
        character
        for character in map(chr, range(0x80, 0x3000))
        if character.isalpha() and looks_like(character) is None
    )
    others = "".join(
        each for each in text if unicodedata.name(each, "").split(" ")[0] in ("GREEK", "CYRILLIC", "LATIN")
    )
    assert len(others) > 800
    assert lookalikes.plain(others) == (others, [])
