"""The keyring of this installation: versioned keys that seal the data keys. Never in the database.

`WEIR_KEYRING` says where: `file:<path>`, `vault:<URL>`, `aws-kms:<region>?…`, or, with or without `env:`, the keys
themselves.
"""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from apps.catalog.keyrings import aws_kms, file, local, transit
from apps.catalog.keyrings.ring import Keyring

_KINDS = {"env": local.read, "file": file.read, "vault": transit.read, "aws-kms": aws_kms.read}


def current() -> Keyring:
    """Raises KeyringRefused. Asks nobody yet."""
    return named(settings.WEIR_KEYRING)


def kind_of(text: str) -> str:
    """`env`, `file`, `vault` or `aws-kms`."""
    scheme, colon, _ = text.strip().partition(":")
    return scheme if colon and scheme in _KINDS else "env"


def repeats(secret: str) -> bool:
    """Whether the keyring's text, where there is one, holds another secret. Raises KeyringRefused."""
    return holds(settings.WEIR_KEYRING, secret)


def holds(text: str, secret: str) -> bool:
    """As `repeats`, of any text such as WEIR_KEYRING may have."""
    text = text.strip()
    return secret in (file.content(text.partition(":")[2]) if kind_of(text) == "file" else text)


@lru_cache(maxsize=4)
def named(text: str) -> Keyring:
    """By a value such as WEIR_KEYRING may have. Raises KeyringRefused."""
    text = text.strip()
    scheme, _, address = text.partition(":")
    return _KINDS[scheme](address) if scheme in _KINDS else local.read(text)
