"""Names that both sides must agree on: ids of tool calls, signatures of ours, the tool that stands for a format."""

from __future__ import annotations

import base64
import hashlib
import re

from apps.domain import signatures

# Thinking translated from another vendor is signed so, and known by it when it comes back (PROTOCOLS A6).
OUR_SIGNATURE = signatures.OURS
# The forced tool that makes a model without structured outputs answer in a schema.
FORMAT_TOOL = "gateway_structured_answer"

_PLAIN_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MAPPED = "gwid_"
_MINTED = "gwnew_"
_DIGESTED = "gwh_"
_LONGEST_ID = 64  # Bedrock's limit


def tool_id(foreign: str, *, minted: str) -> str:
    """A call's id as Anthropic and Bedrock take it (`^[a-zA-Z0-9_-]+$`, at most 64 characters): itself where it can be,
    else an image that no other id has.

    `minted` tells calls without an id apart: it must be the same for a call and its result.
    """
    if not foreign:
        image = _MINTED + minted
    elif _PLAIN_ID.fullmatch(foreign) and not foreign.startswith((_MAPPED, _MINTED)):
        image = foreign
    else:
        image = _MAPPED + _packed(foreign.encode())
    return image if len(image) <= _LONGEST_ID else _DIGESTED + _packed(hashlib.sha256(image.encode()).digest())


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Signer:
    """Makes the signature of one thinking block, from its text, unless its vendor has `made` one: Claude does wherever
    it answers."""

    def __init__(self) -> None:
        self.made = ""
        self._digest = hashlib.sha256()

    def update(self, text: str) -> None:
        self._digest.update(text.encode("utf-8", "replace"))

    def signature(self) -> str:
        return self.made or OUR_SIGNATURE + base64.urlsafe_b64encode(self._digest.digest()[:18]).decode()


def sign(text: str, *, signature: str = "") -> str:
    signer = Signer()
    signer.made = signature
    signer.update(text)
    return signer.signature()
