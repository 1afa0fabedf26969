"""How soon Bedrock answers, and at which price: callers' `service_tier`, as they wrote it, in OpenAI's words.

`auto` says no more than silence. What Bedrock calls `reserved` nobody asks for.
"""

from __future__ import annotations

HEADER = "x-amzn-bedrock-service-tier"
_ALIKE = {b'"default"': "default", b'"flex"': "flex", b'"priority"': "priority"}


def named(tier: bytes | None) -> str | None:
    """Bedrock's name of it. None: it has none."""
    return None if tier is None else _ALIKE.get(bytes(tier))


def headers(tier: bytes | None) -> tuple[tuple[str, str], ...]:
    """For InvokeModel, whose bodies have no place for it."""
    name = named(tier)
    return () if name is None else ((HEADER, name),)
