"""What a Claude model takes. The catalog's capabilities say it; where they are silent, the model's name does.

    adaptive_thinking    thinking {"type": "adaptive"}          budget_thinking    {"type": "enabled", budget_tokens}
    always_thinking      refuses {"type": "disabled"}           no_sampling        refuses temperature, top_p, top_k
    structured_outputs   output_config.format                   system_messages    role "system" among the messages
    thinking_omitted     shows what it thinks only if asked (`display`): of the name alone
    effort_low … effort_max   the levels of output_config.effort it lists

An OpenAI request for such a model is fitted to it; a native one passes, and the provider's 400 shows.
"""

from __future__ import annotations

from apps.domain import known_models

_SAYING = frozenset(
    {
        "adaptive_thinking",
        "always_thinking",
        "budget_thinking",
        "no_sampling",
        "structured_outputs",
        "system_messages",
    }
)
version = known_models.claudes_version


def capabilities(model: str, *, given: frozenset[str]) -> frozenset[str]:
    """`given` where it says anything about the above, else what is known of the named model."""
    if given & _SAYING or any(word.startswith("effort_") for word in given):
        return given | known_models.claudes_omission(model)
    return given | known_models.claude(model)
