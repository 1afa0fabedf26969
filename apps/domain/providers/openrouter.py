"""OpenRouter, which chooses among vendors itself. Thinking goes back as `reasoning`."""

from __future__ import annotations

from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="openrouter",
    label="OpenRouter",
    protocols=("openai_chat", "anthropic_messages"),
    base_url="https://openrouter.ai/api/v1",
    authorize=bearer,
    forwards=FORWARDS,
    defaults=DEFAULTS,
    count_paths={},
    list_paths={"openai_chat": "/models", "anthropic_messages": "/models"},
    quirks=frozenset({"reasoning_field"}),
    summary="Most vendors' models with one key and one bill.",
    key_page="https://openrouter.ai/settings/keys",
    tags=("cloud",),
    prices="openrouter",
)
