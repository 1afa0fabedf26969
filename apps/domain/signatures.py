"""Signatures of thinking, told apart by digests: whoever answers a conversation must have made those it carries, or not
see what is signed (PROTOCOLS A6).

Nothing is read but the bytes: every dialect writes a signature as the value of a key of its own.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

OURS = "gw1."
"""What signatures begin with that the gateway gives to thinking of vendors who sign nothing."""

_LEAST = 16  # characters: what is shorter is somebody's field of that name
_TEXT = rb'"((?:[^"\\]|\\.){%d,})"' % _LEAST
# `signature` is Anthropic's, Bedrock's and OpenRouter's, the others are of thinking that is sealed altogether.
_SIGNED = re.compile(
    rb'"(?:signature|encrypted_content)"\s*:\s*%b'
    rb'|"redacted_thinking"\s*,\s*"data"\s*:\s*%b'
    rb'|"data"\s*:\s*%b\s*,\s*"type"\s*:\s*"redacted_thinking"' % (_TEXT, _TEXT, _TEXT)
)


def mark(signature: str) -> bytes:
    """What is remembered of it."""
    return hashlib.blake2b(signature.encode("utf-8", "replace"), digest_size=12).digest()


def marks(told: bytes) -> list[bytes]:
    """Of every signature in JSON or in whole events, in order, without those of ours."""
    if b'"signature"' not in told and b'"redacted_thinking"' not in told and b'"encrypted_content"' not in told:
        return []
    found = (next(filter(None, match.groups())) for match in _SIGNED.finditer(told))
    return [mark(text) for raw in found if not (text := _text(raw)).startswith(OURS)]


def may_sign(events: bytes) -> bool:
    """Whether to look for signatures in these events of a stream; asked of every chunk, so it is quick."""
    return b"signature_delta" in events or b'"redacted_' in events


def _text(raw: bytes) -> str:
    """Some write `/` as `\\/`."""
    if b"\\" not in raw:
        return raw.decode("utf-8", "replace")
    try:
        return msgspec.json.decode(b'"' + raw + b'"', type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")
