"""A keyring in a file that its owner alone may read: `file:/etc/weir/keyring`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from apps.catalog.keyrings import local
from apps.catalog.keyrings.ring import KeyringRefused


def read(address: str) -> local.LocalKeyring:
    """`address` is a path. Raises KeyringRefused."""
    return local.read(content(address))


def content(address: str) -> str:
    """Raises KeyringRefused."""
    path = Path(address)
    if not path.is_absolute():
        raise KeyringRefused("WEIR_KEYRING: file: needs an absolute path.")
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except (OSError, ValueError) as error:
        raise KeyringRefused(f"WEIR_KEYRING: {path} cannot be read ({type(error).__name__}).") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyringRefused(f"WEIR_KEYRING: others than its owner may use {path}: chmod 600.")
    return text
