"""Usage. Converse's input counters are disjoint already, like Anthropic's (PROTOCOLS A8)."""

from __future__ import annotations

from typing import Any

from apps.domain.protocols.anthropic_messages import usage
from apps.domain.tokens import TokenUsage


def read(raw: Any) -> TokenUsage | None:
    """None where nothing is said, or nothing that can be believed."""
    if not isinstance(raw, dict):
        return None
    said: dict[str, Any] = {
        "input_tokens": raw.get("inputTokens"),
        "output_tokens": raw.get("outputTokens"),
        "cache_read_input_tokens": _either(raw, "cacheReadInputTokens"),
        "cache_creation_input_tokens": _either(raw, "cacheWriteInputTokens"),
    }
    written = raw.get("cacheDetails")
    if isinstance(written, list):
        said["cache_creation"] = {
            f"ephemeral_{detail.get('ttl')}_input_tokens": detail.get("inputTokens")
            for detail in written
            if isinstance(detail, dict)
        }
    return usage.read(said)


def _either(raw: dict[str, Any], name: str) -> Any:
    """Both names occur, in one answer even."""
    said = raw.get(name)
    return raw.get(f"{name.removesuffix('s')}Count") if said is None else said
