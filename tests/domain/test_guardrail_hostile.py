"""Bodies that nobody writes by accident: none goes by unread, and what cannot be read says so in one of three ways."""

from __future__ import annotations

import contextlib
import json
import random

import msgspec
import pytest

from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS

UNREAD = (msgspec.DecodeError, UnicodeError, RecursionError)
CARD = "4111 1111 1111 1111"
PLAIN = json.dumps({"messages": [{"role": "user", "content": f"Pay {CARD}."}]})
SEED = 20_240


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\x00", PLAIN.encode() + b"\x00", b"\xff" + PLAIN.encode(), b'"\xed\xa0\x80"', b"1e"),
        *(PLAIN.encode("utf-16"), PLAIN.encode("utf-32"), PLAIN.encode("utf-8-sig"), b"[" * 10_000, b"[" * 10**5),
        *(b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b'["\\ud800"', b'{"a":1,"a":2}'),
    ],
)
def test_what_cannot_be_read_is_never_taken_for_clean(body):
    with pytest.raises(UNREAD):
        reading.count(body, KINDS)


@pytest.mark.attack("F19")
def test_of_a_key_that_comes_twice_neither_value_goes_by():
    for first, second in ((CARD, "Hello."), ("Hello.", CARD)):
        with pytest.raises(msgspec.DecodeError, match="twice"):
            reading.count(f'{{"content":"{first}","content":"{second}"}}'.encode(), KINDS)


def test_no_damage_to_a_body_makes_reading_fail_otherwise():
    chance = random.Random(SEED)
    for _ in range(2_000):
        body = bytearray(PLAIN.encode() * chance.choice((1, 1, 2)))
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(body))
            body[place : place + chance.randrange(3)] = chance.choice(
                (b'"', b"\\u", b"{", b"\x00", b"\xff", b"\\", b"[")
            )
        with contextlib.suppress(*UNREAD):
            reading.count(bytes(body), KINDS)
            reading.masked(bytes(body), KINDS)


def test_what_lies_on_the_border_of_two_pieces_has_its_words_before_it_and_is_masked_wholly():
    for place in range(reading.BATCH - 40, reading.BATCH + 40, 7):
        text = "x " * (place // 2) + "My SSN is 123456788, it is." + " y" * reading.BATCH
        assert reading.count(json.dumps({"content": text}).encode(), KINDS) == {"national_id": 1}, place
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIabc/+\n" * 900 + "-----END PRIVATE KEY-----"
    for place in (8 * reading.BATCH - 3_000, 8 * reading.BATCH, 16 * reading.BATCH - 1):
        text = "x" * (place - 1) + " " + key + " y" * 9 * reading.BATCH
        masked = json.loads(reading.masked(json.dumps({"content": text}).encode(), {"secret"}))["content"]
        assert "[secret]" in masked
        assert "MII" not in masked
