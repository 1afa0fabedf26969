"""What a family of models takes of Converse; of others the least is assumed.

cache_points    marks of what is to be cached      cached_tools   such marks among the tools; and for an hour
tool_status     a tool result's `status`           forced_tools   `toolChoice`
signed          thinking in the history, with its signature
top_k, nova_top_k, reasoning_effort                its own fields beside Converse's
"""

from __future__ import annotations

from apps.domain.protocols.anthropic_messages import models

# By a word of the model's id; Anthropic's and Amazon's are the most that there is.
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("claude", frozenset({"cache_points", "cached_tools", "tool_status", "forced_tools", "signed", "top_k"})),
    ("nova", frozenset({"cache_points", "tool_status", "forced_tools", "nova_top_k"})),
    ("mistral", frozenset({"forced_tools", "top_k"})),
    ("gpt-oss", frozenset({"reasoning_effort"})),
)


def capabilities(model: str, *, given: frozenset[str]) -> frozenset[str]:
    """Of the family, and of Claude models what `anthropic_messages.models` says."""
    family = next((found for word, found in _FAMILIES if word in model.lower()), frozenset[str]())
    return family | given | (models.capabilities(model, given=given) if "signed" in family else frozenset())
