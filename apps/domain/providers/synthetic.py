"""Synthetic. One address for both dialects."""

from __future__ import annotations

from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.anthropic_compatible import authorize
from apps.domain.providers.vendor import Vendor

VENDOR = Vendor(
    slug="synthetic",
    label="Synthetic",
    protocols=("openai_chat", "anthropic_messages"),
    beside=frozenset({"openai_chat", "anthropic_messages"}),
    base_url="https://api.synthetic.new",
    authorize=authorize,
    forwards=FORWARDS,
    defaults=DEFAULTS,
    paths={
        "openai_chat": ("/openai/v1/chat/completions",),
        "openai_embeddings": ("/openai/v1/embeddings",),
        "anthropic_messages": ("/anthropic/v1/messages",),
    },
    count_paths={},
    list_paths={"openai_chat": "/openai/v1/models", "anthropic_messages": "/openai/v1/models"},
    summary="Open models, by subscription.",
    key_page="https://synthetic.new",
    tags=("cloud",),
)
