"""vLLM. Newer servers speak Anthropic's dialect and Responses at the same address."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="vllm",
    label="vLLM",
    protocols=("openai_chat", "anthropic_messages", "openai_responses"),
    authorize=bearer,
    count_paths={},
    list_paths={"openai_chat": "/models", "anthropic_messages": "/v1/models", "openai_responses": "/models"},
    quirks=frozenset({"head_system_only"}),
    summary="A server of your own with open models.",
    needs_key=False,
    tags=("own",),
)
