"""Ids of tool calls as Bedrock takes them: at most 64 characters."""

from __future__ import annotations

import base64
import hashlib

_LONGEST = 64


def fit(id_: str) -> str:
    """Itself, or what stands for it in a call and in its result alike. Of Anthropic's letters already."""
    if len(id_) <= _LONGEST:
        return id_
    return "gwh_" + base64.urlsafe_b64encode(hashlib.sha256(id_.encode()).digest()).decode().rstrip("=")
