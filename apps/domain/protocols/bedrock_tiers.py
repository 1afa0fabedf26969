"""How soon Bedrock answers, and at which price: callers' `service_tier`, as they wrote it, in OpenAI's words.

`auto` says no more than silence. What Bedrock calls `reserved` nobody asks for.
"""

from __future__ import annotations

from typing import Any

HEADER = "x-amzn-bedrock-service-tier"
_ALIKE = {b'"default"': "default", b'"flex"': "flex", b'"priority"': "priority"}


def named(tier: bytes | None) -> str | None:
    """Bedrock's name of it. None: it has none."""
    return None if tier is None else _ALIKE.get(bytes(tier))


def served(told: Any) -> str | None:
    """In OpenAI's words, of what Converse tells."""
    name = told.get("type") if isinstance(told, dict) else None
    return name if name in _ALIKE.values() else None


def headers(tier: bytes | None) -> tuple[tuple[str, str], ...]:
    """For InvokeModel, whose bodies have no place for it."""
    name = named(tier)
    return () if name is None else ((HEADER, name),)
