"""The vendors by slug."""

from __future__ import annotations

from apps.domain.providers import (
    anthropic,
    anthropic_compatible,
    azure_openai,
    bedrock,
    cerebras,
    minimax,
    ollama,
    openai,
    openai_compatible,
    openrouter,
    simulated,
    synthetic,
    vllm,
    zai,
)
from apps.domain.providers.vendor import Vendor

_MODULES = (
    *(anthropic, openai, azure_openai, bedrock),
    *(cerebras, zai, minimax, synthetic, openrouter),
    *(ollama, vllm, openai_compatible, anthropic_compatible),
    simulated,
)
VENDORS: dict[str, Vendor] = {module.VENDOR.slug: module.VENDOR for module in _MODULES}
"""In the order in which they are offered."""
FORWARDS = tuple(sorted({prefix.encode() for vendor in VENDORS.values() for prefix in vendor.forwards}))
"""How callers' headers begin that go on to one vendor or another."""


def vendor(slug: str) -> Vendor:
    """Raises KeyError for an unknown one."""
    return VENDORS[slug]
