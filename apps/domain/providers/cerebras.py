"""Cerebras. Refuses thinking among what was said before, unless it is part of the text."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="cerebras",
    label="Cerebras",
    protocols=("openai_chat",),
    base_url="https://api.cerebras.ai/v1",
    authorize=bearer,
    quirks=frozenset({"max_completion_tokens", "no_parallel_tool_calls", "no_reasoning_history"}),
    summary="Open models on wafers: very fast.",
    key_page="https://cloud.cerebras.ai",
    tags=("cloud", "fast"),
    prices="cerebras",
)
