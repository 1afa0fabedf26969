"""MiniMax. In OpenAI's dialect it thinks within the text, so that only Anthropic's is spoken unless it is asked for."""

from __future__ import annotations

from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.anthropic_compatible import authorize
from apps.domain.providers.vendor import Vendor

VENDOR = Vendor(
    slug="minimax",
    label="MiniMax",
    protocols=("anthropic_messages", "openai_chat"),
    beside=frozenset({"anthropic_messages"}),
    base_url="https://api.minimax.io",
    authorize=authorize,
    forwards=FORWARDS,
    defaults=DEFAULTS,
    paths={"anthropic_messages": ("/anthropic/v1/messages",), "openai_chat": ("/v1/chat/completions",)},
    count_paths={},
    list_paths={"anthropic_messages": "/anthropic/v1/models", "openai_chat": "/v1/models"},
    quirks=frozenset({"max_completion_tokens", "no_parallel_tool_calls"}),
    summary="The MiniMax models, in Anthropic's dialect.",
    key_page="https://platform.minimax.io",
    tags=("cloud",),
    prices="minimax",
)
