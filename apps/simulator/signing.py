"""Signatures of thinking blocks: bound to the exact text, checkable without remembering anything."""

from __future__ import annotations

import base64
import hashlib
import hmac

# Not a secret: it stands for the vendor's own key, so that altered thinking is noticed as the vendor notices it.
_KEY = b"simulated provider"


def sign(thinking: str) -> str:
    digest = hmac.digest(_KEY, thinking.encode(), hashlib.sha256)
    return base64.b64encode(b"sim1" + digest).decode()


def is_genuine(thinking: str, *, signature: str) -> bool:
    return hmac.compare_digest(sign(thinking).encode(), signature.encode())
