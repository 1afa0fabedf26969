"""Messages that their receiver can tell from anybody else's, as standardwebhooks.com has them: secrets and signatures.

Sending is `documents.ask`'s: no redirects, and no addresses that are not for this sender. With `most` 0, since what a
receiver says beside its status is nobody's concern, and must not undo that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

PREFIX = "whsec_"
LENGTHS = range(24, 65)  # of a key, in bytes
GONE = 410  # what a receiver answers that wants no more of it


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """What it signs with. Raises ValueError, which repeats nothing of it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in LENGTHS:
        raise ValueError(f"It is {PREFIX} and the base64 of {LENGTHS.start} to {LENGTHS.stop - 1} bytes.")
    return key


def signed(name: str, body: bytes, *, keys: Iterable[bytes], now: datetime) -> dict[str, str]:
    """The headers: HMAC-SHA256 of id, time and body, by each of the keys. `name`: the message's id at every try."""
    at = str(int(now.timestamp()))
    content = b".".join([name.encode(), at.encode(), body])
    marks = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": name,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }
