"""The keyring: versioned keys that seal the data keys. It comes from the environment, never from the database.

`WEIR_KEYRING` is one random value (version 1), or `1:<value>,2:<value>`; the highest version seals, all open.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
MINIMUM_LENGTH = 16
_NUMBERED = re.compile(r"[1-9][0-9]{0,8}:")


class KeyringRefused(ImproperlyConfigured):
    """The keyring cannot be read, or does not fit what is stored. Nothing may start with it."""


def versions() -> dict[int, bytes]:
    """The keys by version. Raises KeyringRefused."""
    return dict(_parsed(settings.WEIR_KEYRING))


def active() -> int:
    """The version that new data keys are sealed under."""
    return max(versions())


def derived(secret: bytes, *, purpose: str) -> bytes:
    """A key of its own for each purpose (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=b"weir", info=purpose.encode()).derive(secret)


@lru_cache(maxsize=4)
def _parsed(text: str) -> tuple[tuple[int, bytes], ...]:
    found: dict[int, bytes] = {}
    for version, value in _entries(text.strip()):
        if version in found:
            raise KeyringRefused(f"WEIR_KEYRING names version {version} twice.")
        if len(value) < MINIMUM_LENGTH:
            raise KeyringRefused(f"WEIR_KEYRING: version {version} has fewer than {MINIMUM_LENGTH} characters.")
        found[version] = derived(value.encode(), purpose=f"kek {version}")
    return tuple(sorted(found.items()))


def _entries(text: str) -> list[tuple[int, str]]:
    if not _NUMBERED.match(text):
        return [(1, text)]
    entries = []
    for part in text.split(","):
        version, colon, value = part.strip().partition(":")
        if not colon or not _NUMBERED.match(f"{version}:"):
            raise KeyringRefused("WEIR_KEYRING is neither one value nor a list like 1:<value>,2:<value>.")
        entries.append((int(version), value))
    return entries
