"""Anyone who speaks OpenAI's chat dialect: a server of one's own, a vendor without a file here, another gateway."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="openai_compatible",
    label="OpenAI-compatible",
    protocols=("openai_chat", "openai_responses"),
    authorize=bearer,
    summary="Anyone who speaks as OpenAI does.",
    needs_key=False,
)
