"""What a family of models takes of Converse; of others the least is assumed.

cache_points    marks of what is to be cached      cached_tools   such marks among the tools; and for an hour
tool_status     a tool result's `status`           forced_tools   `toolChoice`
signed          thinking in the history, with its signature
stop_told       tells the stop string it met, if asked
one_call        takes a word against calls side by side
top_k, nova_top_k, reasoning_effort                its own fields beside Converse's
"""

from __future__ import annotations

from apps.domain.protocols.anthropic_messages import models

# By a word of the model's id; Anthropic's and Amazon's are the most that there is.
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "claude",
        frozenset({"cache_points", "cached_tools", "tool_status", "forced_tools", "signed", "stop_told", "top_k"}),
    ),
    ("nova", frozenset({"cache_points", "tool_status", "forced_tools", "nova_top_k"})),
    ("mistral", frozenset({"forced_tools", "top_k"})),
    ("gpt-oss", frozenset({"reasoning_effort"})),
)
_ONE_CALL_SINCE = (4, 5)  # others have seen these take it; of earlier ones nobody tells


def capabilities(model: str, *, given: frozenset[str]) -> frozenset[str]:
    """Of the family, and of Claude models what `anthropic_messages.models` says."""
    family = next((found for word, found in _FAMILIES if word in model.lower()), frozenset[str]())
    return family | given | (_of_claude(model, given=given) if "signed" in family else frozenset())


def _of_claude(model: str, *, given: frozenset[str]) -> frozenset[str]:
    version = models.version(model)
    one_call = {"one_call"} if version is not None and version[1] >= _ONE_CALL_SINCE else frozenset[str]()
    return models.capabilities(model, given=given) | one_call
