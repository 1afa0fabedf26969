"""Anyone who speaks Anthropic's dialect: a vendor without a file here, another gateway."""

from __future__ import annotations

from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.vendor import HeaderList, Vendor, api_key, bearer


def authorize(secret: str) -> HeaderList:
    """Vendors differ in which of the two they read, and none minds the other."""
    return (*api_key(secret), *bearer(secret))


VENDOR = Vendor(
    slug="anthropic_compatible",
    label="Anthropic-compatible",
    protocols=("anthropic_messages",),
    authorize=authorize,
    forwards=FORWARDS,
    defaults=DEFAULTS,
    summary="Anyone who speaks as Anthropic does.",
    needs_key=False,
)
