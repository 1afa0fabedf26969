"""What every keyring can do, and how it says no."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from django.core.exceptions import ImproperlyConfigured


class KeyringRefused(ImproperlyConfigured):
    """The keyring cannot be read, or does not fit what is stored. Nothing may start with it."""


class KeyringUnavailable(KeyringRefused):
    """The keyring does not answer, or does not let us in. It says nothing about what is stored."""


class Wrapped(NamedTuple):
    """`version` is that of the key which sealed `text`."""

    version: int
    text: str


class Keyring(Protocol):
    """Versioned keys; the highest version seals, all open. Every method raises KeyringUnavailable."""

    def versions(self) -> frozenset[int]:
        """Those that open."""

    def active(self) -> int:
        """The one that seals."""

    def wrap(self, key: bytes, *, context: bytes) -> Wrapped:
        """Seal under the active version. It opens with the same `context` only."""

    def unwrap(self, text: str, *, version: int, context: bytes) -> bytes:
        """Raises KeyringRefused for what does not open."""
