"""Anyone who speaks OpenAI's chat dialect: Cerebras, Z.AI, MiniMax, vLLM, another gateway."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="openai_compatible",
    label="OpenAI-compatible",
    protocols=("openai_chat", "openai_responses"),
    authorize=bearer,
)
