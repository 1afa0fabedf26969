"""API keys: `weir_<12 public id>_<43 secret><6 checksum>`, all base62. Tokens of the management API look the same but
for how they begin: `weirapi_…`; and those of a program that somebody has signed in: `weirat_…`, `weirrt_…`.

Underscores keep the key one word to a double click; the public id names it in logs and limits; the checksum (CRC-32
over everything before it) refuses typos and junk without a look-up and lets secret scanners confirm a leak offline.
Stored is only `digest`: HMAC-SHA-256 under a pepper that is not in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib

PREFIX = "weir"
OF_TOKENS = "weirapi"
OF_ACCESS = "weirat"
OF_REFRESH = "weirrt"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH = 12
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECK_LENGTH = 6
PUBLIC_IDS = 62**PUBLIC_LENGTH
SECRETS = 62**SECRET_LENGTH
_AFTER_PREFIX = 1 + PUBLIC_LENGTH + 1 + SECRET_LENGTH + CHECK_LENGTH
LENGTH = len(PREFIX) + _AFTER_PREFIX
_SYMBOLS = frozenset(ALPHABET)


def base62(number: int, *, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def mint(*, public_bits: int, secret_bits: int, prefix: str = PREFIX) -> str:
    """A new key from random integers: at least 72 and 257 bits of them."""
    body = f"{prefix}_{base62(public_bits, width=PUBLIC_LENGTH)}_{base62(secret_bits, width=SECRET_LENGTH)}"
    return body + _checksum(body)


def public_id(key: str, *, prefix: str = PREFIX) -> str | None:
    """The public id of a well-formed key; None for anything else. Needs no store."""
    begins = len(prefix) + 1
    ends = begins + PUBLIC_LENGTH
    if len(key) != begins - 1 + _AFTER_PREFIX or key[begins - 1] != "_" or key[ends] != "_":
        return None
    public, secret = key[begins:ends], key[ends + 1 :]
    if not key.startswith(prefix) or not (_SYMBOLS.issuperset(public) and _SYMBOLS.issuperset(secret)):
        return None
    if not hmac.compare_digest(_checksum(key[:-CHECK_LENGTH]), key[-CHECK_LENGTH:]):
        return None
    return public


def digest(key: str, *, pepper: bytes) -> bytes:
    """32 bytes. No slow hash is needed for a secret of 256 random bits."""
    return hmac.digest(pepper, key.encode(), hashlib.sha256)


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), width=CHECK_LENGTH)
