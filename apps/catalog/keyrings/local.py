"""A keyring in the process's memory, read from one text: a variable's value or a file's content.

The text is one random value (version 1), a list `1:<value>,2:<value>`, or the same as JSON: `{"1": "<value>"}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from apps.catalog import sealing
from apps.catalog.keyrings.ring import KeyringRefused, Wrapped

MINIMUM_LENGTH = 16
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_HALF = re.compile("[\ud800-\udfff]")  # of a character, as an escape of JSON may write it
_NUMBERED = re.compile(r"[1-9][0-9]{0,8}:")
_SHAPES = 'WEIR_KEYRING is neither one value, nor a list like 1:<value>,2:<value>, nor JSON like {"1": "<value>"}.'


class LocalKeyring:
    """Values are keyed by version; what seals is derived from them."""

    def __init__(self, values: Mapping[int, str]) -> None:
        for version, value in values.items():
            if len(value) < MINIMUM_LENGTH:
                raise KeyringRefused(f"WEIR_KEYRING: version {version} has fewer than {MINIMUM_LENGTH} characters.")
        self._keys = {
            version: sealing.derived(value.encode(), purpose=f"kek {version}") for version, value in values.items()
        }

    def versions(self) -> frozenset[int]:
        return frozenset(self._keys)

    def active(self) -> int:
        return max(self._keys)

    def wrap(self, key: bytes, *, context: bytes) -> Wrapped:
        version = self.active()
        text = sealing.seal(key.hex(), key=self._keys[version], name=str(version), data=context)
        return Wrapped(version, text)

    def unwrap(self, text: str, *, version: int, context: bytes) -> bytes:
        key = self._keys.get(version)
        if key is None:
            raise KeyringRefused(f"WEIR_KEYRING lacks version {version}.")
        plaintext = sealing.unseal(text, key=key, data=context)
        if plaintext is None:
            raise KeyringRefused(f"WEIR_KEYRING: version {version} does not open this.")
        try:
            return bytes.fromhex(plaintext)
        except ValueError:  # canaries of earlier installations are plain words
            return plaintext.encode()


def read(text: str) -> LocalKeyring:
    """Raises KeyringRefused, which names no value."""
    found: dict[int, str] = {}
    for version, value in _entries(text.strip()):
        if version in found:
            raise KeyringRefused(f"WEIR_KEYRING names version {version} twice.")
        found[version] = value
    return LocalKeyring(found)


def _entries(text: str) -> list[tuple[int, str]]:
    if text.startswith("{"):
        return _entries_of_json(text)
    if not _NUMBERED.match(text):
        return [(1, text)]
    return [_entry(*part.strip().partition(":")[::2]) for part in text.split(",")]


def _entries_of_json(text: str) -> list[tuple[int, str]]:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise KeyringRefused(_SHAPES) from None
    if not pairs:
        raise KeyringRefused(_SHAPES)
    return [_entry(version, value) for version, value in pairs]


def _entry(version: str, value: object) -> tuple[int, str]:
    if not _NUMBER.fullmatch(version) or not isinstance(value, str) or _HALF.search(value):
        raise KeyringRefused(_SHAPES)
    return int(version), value
