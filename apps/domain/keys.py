"""API keys: `weir_<12 public id>_<43 secret><6 checksum>`, all base62.

Underscores keep the key one word to a double click; the public id names it in logs and limits; the checksum (CRC-32
over everything before it) refuses typos and junk without a look-up and lets secret scanners confirm a leak offline.
Stored is only `digest`: HMAC-SHA-256 under a pepper that is not in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib

PREFIX = "weir"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH = 12
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECK_LENGTH = 6
LENGTH = len(PREFIX) + 1 + PUBLIC_LENGTH + 1 + SECRET_LENGTH + CHECK_LENGTH
_SYMBOLS = frozenset(ALPHABET)


def base62(number: int, *, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def mint(*, public_bits: int, secret_bits: int) -> str:
    """A new key from random integers: at least 72 and 257 bits of them."""
    body = f"{PREFIX}_{base62(public_bits, width=PUBLIC_LENGTH)}_{base62(secret_bits, width=SECRET_LENGTH)}"
    return body + _checksum(body)


def public_id(key: str) -> str | None:
    """The public id of a well-formed key; None for anything else. Needs no store."""
    if len(key) != LENGTH or key[4] != "_" or key[17] != "_" or not key.startswith(PREFIX):
        return None
    public, secret = key[5:17], key[18:]
    if not (_SYMBOLS.issuperset(public) and _SYMBOLS.issuperset(secret)):
        return None
    if not hmac.compare_digest(_checksum(key[:-CHECK_LENGTH]), key[-CHECK_LENGTH:]):
        return None
    return public


def digest(key: str, *, pepper: bytes) -> bytes:
    """32 bytes. No slow hash is needed for a secret of 256 random bits."""
    return hmac.digest(pepper, key.encode(), hashlib.sha256)


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), width=CHECK_LENGTH)
