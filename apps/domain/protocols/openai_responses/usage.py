"""Token counts. They overlap as those of OpenAI's other dialect do, under other names."""

from __future__ import annotations

from typing import Any

from apps.domain.protocols.openai_chat import usage as chat_usage
from apps.domain.tokens import TokenUsage

_NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


def read(raw: Any) -> TokenUsage | None:
    """The `usage` of a response; None where there is none that can be believed."""
    if not isinstance(raw, dict):
        return None
    return chat_usage.read({_NAMES.get(name, name): value for name, value in raw.items()})


def write(usage: TokenUsage) -> dict[str, Any]:
    counted = chat_usage.write(usage)
    return {name: counted[theirs] for name, theirs in _NAMES.items()} | {"total_tokens": counted["total_tokens"]}
