"""OpenAI. None of the caller's headers go on: `openai-organization` and `openai-project` belong to the credential."""

from __future__ import annotations

from apps.domain.providers.vendor import Vendor, bearer

VENDOR = Vendor(
    slug="openai",
    label="OpenAI",
    protocols=("openai_chat", "openai_responses"),
    beside=frozenset({"openai_chat", "openai_responses"}),
    base_url="https://api.openai.com/v1",
    authorize=bearer,
    quirks=frozenset(
        {"max_completion_tokens", "developer_role", "no_reasoning_history", "safety_identifier", "openai_fields"}
    ),
    summary="The GPT models, from their maker.",
    key_page="https://platform.openai.com/api-keys",
    tags=("cloud",),
    prices="openai",
)
