"""Signatures of thinking, bound to the exact text, and sealed thoughts: checkable without remembering anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

# Not a secret: it stands for the vendor's own key, so that altered thinking is noticed as the vendor notices it.
_KEY = b"simulated provider"


def sign(thinking: str) -> str:
    digest = hmac.digest(_KEY, thinking.encode(), hashlib.sha256)
    return base64.b64encode(b"sim1" + digest).decode()


def is_genuine(thinking: str, *, signature: str) -> bool:
    return hmac.compare_digest(sign(thinking).encode(), signature.encode())


def seal() -> str:
    """Thoughts that only this provider could read, were there any in it."""
    number = secrets.token_bytes(16)
    return "gAAAA" + base64.urlsafe_b64encode(number + hmac.digest(_KEY, number, hashlib.sha256)).decode()


def is_sealed(content: str) -> bool:
    """Whether `seal` made it."""
    try:
        data = base64.urlsafe_b64decode(content.removeprefix("gAAAA"))
    except ValueError:
        return False
    return content.startswith("gAAAA") and hmac.compare_digest(hmac.digest(_KEY, data[:16], hashlib.sha256), data[16:])
