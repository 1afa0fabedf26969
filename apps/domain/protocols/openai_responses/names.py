"""Names that both sides must agree on: ids, and what a reasoning item carries so that its thinking can be restored.

`encrypted_content` is opaque to clients, who hand it back as it came. Ours begins with `gw1.`, so that it is known:

    gw1.s.<packed text and signature>   thinking that its vendor signed
    gw1.x.<packed data>                 thinking that its vendor sent encrypted
    gw1.<digest>                        thinking that nobody signed

Reasoning that a Responses provider encrypted travels the other way, as a signature: `gw1.r.<item id>.<its content>`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import msgspec

from apps.domain import signatures
from apps.domain.chat import RedactedThinking, Thinking

OURS = signatures.OURS
_SIGNED, _REDACTED, _ENCRYPTED = signatures.SIGNED, signatures.REDACTED, signatures.ENCRYPTED
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_CALL_ID = 64
_LONGEST = 256
_DIGEST = 18


def response_id(foreign: str) -> str:
    plain = _UNFIT.sub("", foreign)[:_LONGEST]
    return plain if plain.startswith("resp_") else "resp_" + plain


def item_id(prefix: str, *, answer: str, at: int) -> str:
    """Of the item at this place in an answer. OpenAI refuses ids that begin otherwise."""
    return f"{prefix}_{answer.removeprefix('resp_')}_{at}"


def call_id(foreign: str) -> str:
    """As OpenAI takes it; the same for a call and its result."""
    if 0 < len(foreign) <= _LONGEST_CALL_ID:
        return foreign
    digest = hashlib.sha256(foreign.encode("utf-8", "replace")).hexdigest()
    return f"call_{digest[: _LONGEST_CALL_ID - 5]}"


def minted(item: str) -> str:
    """The call's id where its vendor gave none: of the item that tells of it, so that no two share one."""
    return call_id("call_" + item.partition("_")[2])


def seal(block: Thinking | RedactedThinking) -> str:
    """The `encrypted_content` of the item that shows this thinking to a client."""
    if isinstance(block, RedactedThinking):
        return _REDACTED + _pack(block.data)
    if block.signature.startswith(_ENCRYPTED):
        return block.signature.removeprefix(_ENCRYPTED).partition(".")[2]
    if block.signature and not block.signature.startswith(OURS):
        return _SIGNED + _pack([block.text, block.signature])
    digest = hashlib.sha256(block.text.encode("utf-8", "replace")).digest()
    return OURS + base64.urlsafe_b64encode(digest[:_DIGEST]).decode()


def unseal(encrypted: str, *, item: str, text: str) -> Thinking | RedactedThinking:
    """The thinking of an item that a client sends back; `text` is what the item shows. What a client has tampered with
    is as if nobody had signed it."""
    if encrypted.startswith(_SIGNED):
        match signatures.unpack(encrypted.removeprefix(_SIGNED)):
            case [str(said), str(signature)]:
                return Thinking(said, signature)
        return Thinking(text)
    if encrypted.startswith(_REDACTED):
        data = signatures.unpack(encrypted.removeprefix(_REDACTED))
        return RedactedThinking(data) if isinstance(data, str) else Thinking(text)
    if encrypted.startswith(OURS) or not encrypted:
        return Thinking(text, encrypted)
    return Thinking(text, sign(encrypted, item=item))


def sign(encrypted: str, *, item: str) -> str:
    """The signature of thinking that a Responses provider encrypted."""
    return f"{_ENCRYPTED}{_UNFIT.sub('', item)[:_LONGEST]}.{encrypted}"


def encrypted_of(block: Thinking) -> tuple[str, str] | None:
    """(item id, encrypted content) of thinking that is a Responses provider's own; None: it is not."""
    if not block.signature.startswith(_ENCRYPTED):
        return None
    item, _, encrypted = block.signature.removeprefix(_ENCRYPTED).partition(".")
    return (item, encrypted) if encrypted else None


def _pack(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")
