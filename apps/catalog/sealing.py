"""Sealed texts: `v1.<name>.<nonce>.<ciphertext>`, base64url, AES-256-GCM. `name` says which key, and is not secret."""

from __future__ import annotations

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12


def seal(plaintext: str, *, key: bytes, name: str, data: bytes) -> str:
    """`data` is not in the text, and must be the same to open it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return ".".join((FORMAT, name, _text(nonce), _text(AESGCM(key).encrypt(nonce, plaintext.encode(), data))))


def unseal(text: str, *, key: bytes, data: bytes) -> str | None:
    """None for what does not open."""
    parts = text.split(".")
    if len(parts) != 4 or parts[0] != FORMAT:
        return None
    try:
        return AESGCM(key).decrypt(_bytes(parts[2]), _bytes(parts[3]), data).decode()
    except (InvalidTag, ValueError):
        return None


def name_of(text: str) -> str:
    """The name of the key that sealed a text; empty where it is no sealed text."""
    parts = text.split(".")
    return parts[1] if len(parts) == 4 and parts[0] == FORMAT else ""


def prefix(name: str) -> str:
    """What all texts begin with that were sealed under this key."""
    return f"{FORMAT}.{name}."


def derived(secret: bytes, *, purpose: str) -> bytes:
    """A key of its own for each purpose (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=b"weir", info=purpose.encode()).derive(secret)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
