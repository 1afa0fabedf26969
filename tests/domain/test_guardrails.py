"""What detectors find, and what only looks like it."""

from __future__ import annotations

import gc
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain import keys
from apps.domain.guardrails import checksums, rows
from apps.domain.guardrails.kinds import KINDS, placeholder
from apps.domain.guardrails.scan import scan

FEW = settings(max_examples=100, deadline=None, derandomize=True)
WEIR = keys.mint(public_bits=7**30, secret_bits=11**80)

FOUND = {
    "card": (
        *("4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005"),
        *("6011000990139424", "30569309025904", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "2223003122003222"),
        *(
            "4111\u200b1111\u200b1111\u200b1111",
            "4111\u00a01111\u00a01111\u00a01111",
            "４１１１１１１１１１１１１１１１",
        ),
    ),
    "iban": (
        *("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "FR14 2004 1010 0505 0001 3M02 606"),
        *("NO9386011117947", "MT84MALT011000012345MTLCAST001S"),
    ),
    "email": ("me@example.com", "first.last+tag@sub.example.co.uk", "jürgen@müller.example"),
    "phone": (
        *("+49 30 123456", "+1 (555) 123-4567", "+14155552671", "(555) 234-5678", "555-234-5678", "01 23 45 67 89"),
        *("020 7946 0958", "0171/1234567", "(030) 1234567"),
    ),
    "national_id": (
        *("123-45-6788", "AB 12 34 56 C", "AB123456C", "86095742719", "86 095 742 719", "12345678Z", "X1234567L"),
        *("RSSMRA85M01H501Q", "1 84 12 76 451 089 46", "184127645108946", "44051401359", "111.444.777-35"),
        *("2341 2341 2346",),
    ),
    "secret": (
        *("AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "github_pat_" + "a" * 22 + "_" + "b" * 59),
        *("sk-proj-" + "aB3" * 10, "sk-ant-api03-" + "aB3_" * 10, "AIza" + "a1B2c" * 7, "glpat-" + "a1B2c" * 4),
        *("xoxb-123456789012-abcdefABCDEF", "sk_live_" + "a1B2" * 6, WEIR, "abc8Q~" + "aB3_" * 8),
        *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_", "SG." + "a" * 22 + "." + "b" * 43, "ya29." + "aB3" * 10),
        "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END",
    ),
}
SAID = {  # a word before it says what it is
    "ssn: 123456788": "national_id",
    "NHS number 943 476 5919": "national_id",
    "BSN 111222333": "national_id",
    "my CPF is 11144477735": "national_id",
    "Aadhaar 234123412346": "national_id",
    "tel. 0612345678": "phone",
    "Call me at 212 555 0123": "phone",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "secret",
    "AccountKey=" + "a" * 86 + "==": "secret",
}
MISSED = (
    *("4111 1111 1111 1112", "1234567890123456", "4111111111111111000000", "0.4111111111111111", "x4111111111111111"),
    *("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130", "ZZ89370400440532013000"),
    *("@types/node", "git@github.com:o/r", "icon@2x.png", "lodash@4.17.21", "user@host"),
    *("000-12-3456", "666-12-3456", "123-45-6789", "12345678A", "X1234567A", "RSSMRA85M01H501A", "86095742710"),
    *("111.444.777-36", "2341 2341 2345", "44051401358", "943 476 5919", "123456788", "111222333", "0612345678"),
    *("2024-01-15 10:23:45.123456", "1700000000000", "3.14159265358979323846", "2024-01-15 2024-01-16 2024-01-17"),
    *("550e8400-e29b-41d4-a716-446655440000", "192.168.100.200", "version 1.2.3.4", "+12", "d41d8cd98f00b204e9800998"),
    *("sk-loading-spinner-container-big", WEIR[:-1] + ("0" if WEIR[-1] != "0" else "1"), "-----BEGIN CERTIFICATE-----"),
    *("AKIAIOSFODNN7EXAMPL", "ghp_short", "eyJhbGciOiJIUzI1NiJ9.no", "AIza-too-short"),
)


@pytest.mark.parametrize("kind", FOUND)
def test_every_kind_is_found_where_it_stands_alone_in_a_sentence_and_in_another_script(kind):
    for written in FOUND[kind]:
        for before, behind in (("", ""), ("This is ", ", isn't it?"), ("\u5361\u53f7\uff1a", "\u3002")):
            (found,) = scan(before + written + behind, KINDS)
            assert (found.kind, found.start) == (kind, len(before)), written
            assert found.end <= len(before + written)
        assert not scan(written, set(KINDS) - {kind}), "nobody asked for it"


def test_a_bare_number_is_one_where_a_word_says_so():
    for written, kind in SAID.items():
        assert [found.kind for found in scan(written, KINDS)] == [kind], written


def test_what_only_looks_like_one_is_none():
    for written in MISSED:
        assert not scan(written, KINDS), written


def test_findings_do_not_overlap_and_each_is_there():
    text = "Pay 4111 1111 1111 1111 4111111111111111 or DE89370400440532013000 to me@example.com."
    found = scan(text, KINDS)
    assert [each.kind for each in found] == ["card", "card", "iban", "email"]
    assert all(one.end <= next_.start for one, next_ in pairwise(found))
    assert not any(scan(placeholder(kind), KINDS) for kind in KINDS)


@FEW
@given(st.text("0123456789", min_size=12, max_size=18))
def test_one_check_digit_fits_and_luhn_sees_any_wrong_one(body):
    (digit,) = (last for last in "0123456789" if checksums.luhn(body + last))
    for place, character in enumerate(body):
        other = str((int(character) + 1) % 10)
        assert not checksums.luhn(body[:place] + other + body[place + 1 :] + digit)


@FEW
@given(st.text("0123456789", min_size=11, max_size=11), st.integers(0, 9))
def test_verhoeff_sees_a_wrong_digit_and_two_that_changed_places(body, place):
    (digit,) = (last for last in "0123456789" if checksums.verhoeff(body + last))
    whole = body + digit
    swapped = whole[:place] + whole[place + 1] + whole[place] + whole[place + 2 :]
    assert checksums.verhoeff(swapped) == (swapped == whole)
    wrong = whole[:place] + str((int(whole[place]) + 3) % 10) + whole[place + 1 :]
    assert not checksums.verhoeff(wrong)


@FEW
@given(st.text("0123456789", min_size=18, max_size=18))
def test_an_iban_with_its_check_digits_is_found_in_either_writing(account):
    check = 98 - int(f"{account}131400") % 97  # DE00
    iban = f"DE{check:02d}{account}"
    spaced = " ".join(iban[place : place + 4] for place in range(0, 22, 4))
    for written in (iban, spaced):
        assert [found.kind for found in scan(written, {"iban"})] == ["iban"]
    wrong = f"DE{check % 97 + 1:02d}{account}"
    assert not scan(wrong, {"iban"})


HOSTILE = (
    *("1", "1 ", "1234 ", "4111", "123 456 7890 ", "a@", "a@a.b", "sk-", "eyJ", "eyJaaaaaaaaaaa.", "-----BEGIN "),
    *("-----BEGIN PRIVATE KEY-----", "AA00 ", "+1", "(", "+49 30 ", "ssn 123456789 ", "weir_", "Key=", "~", "0 "),
    *("1-2/3.4 ", "@a.a.a.a.a.a.a.a.", "AIza" + "a" * 30 + " ", "x" * 60 + "@", "GB00 A", "\uff11", "-", "xoxb-"),
)


def test_no_text_takes_longer_than_in_proportion_to_its_length():
    """For every beginning of a pattern, repeated: eight times the text takes eight times as long and not 64 times."""
    for repeated in HOSTILE:
        text = repeated * (160_000 // len(repeated))
        short, long = (min(_seconds(text[:size]) for _ in range(3)) for size in (20_000, 160_000))
        assert long < 24 * short + 0.1, repeated


def _seconds(text: str) -> float:
    """Of the processor, without the collector's: it walks whatever the tests before have left."""
    gc.disable()
    try:
        began = time.thread_time()
        scan(text, KINDS)
        return time.thread_time() - began
    finally:
        gc.enable()


ROWS = ("1", "1 ", "1234 ", "4111 1111 1111 1112 ", "1-2/3.4 ", "12 34-", "4" * 16 + " ", "_1 ", "1_", " ", "-", ".1")


def test_a_row_of_any_length_takes_the_memory_of_a_few_copies_and_no_number_in_it_is_missed():
    card = "4111-1111-1111-1111"
    for repeated in ROWS:
        text = repeated * (50_000 // len(repeated))
        row = f"{text} {card} {text[:999]}".encode()
        tracemalloc.start()
        found = list(rows.found(row.decode(), row))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert ("card", len(text) + 1, len(text) + 1 + len(card)) in found, repeated
        assert peak < 4 * len(row) + 100_000, repeated
