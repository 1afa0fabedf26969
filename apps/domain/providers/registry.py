"""The vendors by slug."""

from __future__ import annotations

from apps.domain.providers import anthropic, anthropic_compatible, openai, openai_compatible, simulated
from apps.domain.providers.vendor import Vendor

VENDORS: dict[str, Vendor] = {
    module.VENDOR.slug: module.VENDOR
    for module in (anthropic, anthropic_compatible, openai, openai_compatible, simulated)
}


def vendor(slug: str) -> Vendor:
    """Raises KeyError for an unknown one."""
    return VENDORS[slug]
