"""Which vendors there are, and which protocols each speaks."""

from __future__ import annotations

_BOTH = ("anthropic_messages", "openai_chat")
_VENDORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "anthropic": ("Anthropic", ("anthropic_messages",)),
    "anthropic_compatible": ("Anthropic-compatible", ("anthropic_messages",)),
    "openai": ("OpenAI", ("openai_chat",)),
    "openai_compatible": ("OpenAI-compatible", ("openai_chat",)),
    "simulated": ("Simulated", _BOTH),
}


def choices() -> list[tuple[str, str]]:
    return [(name, label) for name, (label, _) in sorted(_VENDORS.items())]


def protocols(vendor: str) -> tuple[str, ...]:
    """Empty for an unknown vendor."""
    return _VENDORS.get(vendor, ("", ()))[1]
