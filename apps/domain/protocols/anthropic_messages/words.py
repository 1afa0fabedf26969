"""What a request's fields are called here."""

from __future__ import annotations

from apps.domain.protocols.anthropic_messages import wire

PLAIN = ("seed", "frequency_penalty", "presence_penalty")
"""Not Anthropic's, and nevertheless said by callers who know that another vendor's model answers."""
CARRIED = frozenset({*PLAIN, "service_tier"})
TIERS = {b'"standard_only"': b'"default"'}
"""OpenAI's words for those of `service_tier` that are others there, in JSON."""
OWN_TIERS = frozenset({b'"auto"', *TIERS})
WORDS = {
    "model": ("model",),
    "messages": ("messages",),
    "system": ("system",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "parallel_tools": ("tool_choice.disable_parallel_tool_use",),
    "max_tokens": ("max_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "stop": ("stop_sequences",),
    "stream": ("stream",),
    "reasoning": ("thinking", "output_config.effort"),
    "reasoning.effort": ("output_config.effort",),
    "reasoning.display": ("thinking.display",),
    "format": ("output_config.format", "output_format"),
    "user": ("metadata.user_id",),
    "service_tier": ("service_tier",),
    **{name: (name,) for name in PLAIN},
}
TAKEN = {**{name: paths for name, paths in WORDS.items() if name not in CARRIED}, "format": ()}
"""A schema goes as a tool too, or in words."""
READ = frozenset(wire.DeepBody.__struct_fields__) | CARRIED
PARTS = {
    "metadata": frozenset({"user_id"}),
    "output_config": frozenset({"effort", "format"}),
    "thinking": frozenset({"type", "budget_tokens", "display"}),
}
