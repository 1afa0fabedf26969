"""Stop reasons (PROTOCOLS A9)."""

from __future__ import annotations

from typing import Any

from apps.domain.chat import StopReason
from apps.domain.errors import UpstreamBroken, UpstreamFailed
from apps.domain.protocols.anthropic_messages import stops

_READ: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
    "model_context_window_exceeded": "context_window",
}
_BROKEN = ("malformed_model_output", "malformed_tool_use")


def read(label: str, *, calls: bool, said: bool) -> StopReason:
    """Raises UpstreamFailed for an answer that the model spoiled, UpstreamBroken for nothing at all."""
    if label in _BROKEN:
        raise UpstreamFailed(f"the model's answer is unusable: {label}")
    if not said and label not in _READ:
        raise UpstreamBroken("the provider's answer is empty")
    return stops.settle(_READ.get(label, "end_turn"), calls=calls)


def met(reason: StopReason, fields: Any) -> str | None:
    """The stop string, where the model's own fields were asked for it."""
    told = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return told if reason == "stop_sequence" and isinstance(told, str) else None
