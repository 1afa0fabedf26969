"""Stop reasons, both ways. What the answer holds decides over its label (PROTOCOLS A9)."""

from __future__ import annotations

from apps.domain.chat import StopReason

_READ: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
    "pause_turn": "pause_turn",
}
_WRITE = {reason: label for label, reason in _READ.items()}


def plain(label: str | None) -> StopReason | None:
    """The label alone; None: there is none yet."""
    return _READ.get(label, "end_turn") if label else None


def read(label: str | None, *, calls: bool) -> StopReason:
    """`calls`: whether the answer holds a tool call. Unknown labels end the turn."""
    return settle(plain(label) or "end_turn", calls=calls)


def write(reason: StopReason | None, *, calls: bool) -> str:
    return _WRITE[settle(reason or "end_turn", calls=calls)]


def settle(reason: StopReason, *, calls: bool) -> StopReason:
    """A call makes any normal end `tool_use`; the label without a call would stall an agent silently."""
    if reason == "tool_use":
        return "tool_use" if calls else "end_turn"
    return "tool_use" if calls and reason in ("end_turn", "stop_sequence") else reason
