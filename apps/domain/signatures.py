"""Signatures of thinking, told apart by digests: whoever answers a conversation must have made those it carries, or not
see what is signed (PROTOCOLS A6).

Nothing is read but the bytes: every dialect writes a signature as the value of a key of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

import msgspec

OURS = "gw1."
"""What signatures begin with that the gateway gives to thinking of vendors who sign nothing, or in another way."""
SIGNED, REDACTED, ENCRYPTED = "gw1.s.", "gw1.x.", "gw1.r."
"""Of those, the ones that hold a vendor's own: see `openai_responses/names`."""

_LEAST = 16  # characters: what is shorter is somebody's field of that name
_TEXT = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'  # it never goes back: a body may be one text of many megabytes
# `signature` is Anthropic's, Bedrock's and OpenRouter's, the others are of thinking that is sealed altogether.
_SIGNED = re.compile(
    rb'"(?:signature|encrypted_content)"\s*:\s*%b'
    rb'|"redacted_thinking"\s*,\s*"data"\s*:\s*%b'
    rb'|"data"\s*:\s*%b\s*,\s*"type"\s*:\s*"redacted_thinking"' % (_TEXT, _TEXT, _TEXT)
)


def mark(signature: str) -> bytes:
    """What is remembered of it: of the vendor's own, whichever way it travels."""
    signature = _own(signature)
    return hashlib.blake2b(signature.encode("utf-8", "replace"), digest_size=12).digest()


def marks(told: bytes) -> list[bytes]:
    """Of every signature in JSON or in whole events, in order, without those that are only ours."""
    if b'"signature"' not in told and b'"redacted_thinking"' not in told and b'"encrypted_content"' not in told:
        return []
    found = (match[match.lastindex or 0] for match in _SIGNED.finditer(told))
    return [mark(text) for raw in found if len(raw) >= _LEAST and not _own(text := _text(raw)).startswith(OURS)]


def may_sign(events: bytes) -> bool:
    """Whether to look for signatures in these events of a stream; asked of every chunk, so it is quick."""
    return b"signature_delta" in events or b'"redacted_' in events


def may_seal(events: bytes) -> bool:
    """The same of OpenAI's Responses."""
    return b'"encrypted_content"' in events


def unpack(packed: str) -> Any:
    """What was packed into a text of ours; None: it has been tampered with."""
    try:
        return msgspec.json.decode(base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return None


def _own(signature: str) -> str:
    """The vendor's own in one of ours; itself where there is none in it."""
    if not signature.startswith(OURS):
        return signature
    if signature.startswith(ENCRYPTED):
        return signature.removeprefix(ENCRYPTED).partition(".")[2] or signature
    if signature.startswith((SIGNED, REDACTED)):
        match unpack(signature[len(SIGNED) :]):
            case [str(), str(own)] | str(own) if own:
                return own
    return signature


def _text(raw: bytes) -> str:
    """Some write `/` as `\\/`."""
    if b"\\" not in raw:
        return raw.decode("utf-8", "replace")
    try:
        return msgspec.json.decode(b'"' + raw + b'"', type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")
