"""How hard to think, in the words of the model at hand (PROTOCOLS A6)."""

from __future__ import annotations

from typing import Literal

from apps.domain import chat
from apps.domain.protocols.anthropic_messages import validation, wire

LEAST_BUDGET = 1024
_SHARES = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}  # percent of max_tokens
_LADDER = ("low", "medium", "high", "xhigh", "max")
_LISTED = ("low", "medium", "high")  # where nobody says which levels a model lists
_OFF = "none"


def read(request: wire.DeepBody, effort: str | None, *, interleaved: bool) -> chat.Reasoning:
    """`interleaved`: the budget may be larger than the answer. Raises InvalidRequest."""
    if effort is not None and effort not in _LADDER:
        raise validation.invalid("output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    thinking = request.thinking
    display = _read_display(thinking)
    if thinking is None:
        return chat.Reasoning(None, None, effort, is_effort_alone=effort is not None)
    if thinking.type == "enabled":
        budget = _read_budget(thinking, max_tokens=None if interleaved else request.max_tokens)
        return chat.Reasoning("enabled", budget, effort, display=display)
    if thinking.type == "disabled":
        return chat.Reasoning("disabled", None, effort)
    return chat.Reasoning("adaptive", None, effort, display=display)  # and kinds that are newer than this file


def _read_display(thinking: wire.Thinking | None) -> Literal["summarized", "omitted"] | None:
    match thinking.display if thinking else None:
        case "summarized" | "omitted" as display:
            return display
    return None


def _read_budget(thinking: wire.Thinking, *, max_tokens: int | None) -> int:
    at = "thinking.enabled.budget_tokens"
    budget = thinking.budget_tokens
    if budget is None:
        raise validation.invalid(at, "Field required")
    if budget < LEAST_BUDGET:
        raise validation.invalid(at, f"Input should be greater than or equal to {LEAST_BUDGET}")
    if max_tokens is not None and budget >= max_tokens:
        raise validation.invalid("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`")
    return budget


def write(reasoning: chat.Reasoning, *, max_tokens: int, capabilities: frozenset[str]) -> wire.Object:
    """`thinking` and `output_config` for a request that came in another way; empty where nothing was asked."""
    if reasoning.mode == "disabled" or reasoning.effort == _OFF:
        return _disabled(capabilities)
    if reasoning.mode is None and reasoning.effort is None and reasoning.budget is None:
        return {}
    if "adaptive_thinking" in capabilities:
        effort = _step_down(reasoning.effort or _bucket(reasoning.budget, max_tokens), capabilities)
        adaptive = {"type": "adaptive"} | _display(reasoning, capabilities)
        thinking = {} if reasoning.is_effort_alone else {"thinking": adaptive}
        return thinking | ({"output_config": {"effort": effort}} if effort else {})
    if "budget_thinking" in capabilities and max_tokens > LEAST_BUDGET and not reasoning.is_effort_alone:
        budget = reasoning.budget or max_tokens * _SHARES.get(reasoning.effort or "high", 80) // 100
        return {"thinking": {"type": "enabled", "budget_tokens": max(LEAST_BUDGET, min(budget, max_tokens - 1))}}
    return {}


def _display(reasoning: chat.Reasoning, capabilities: frozenset[str]) -> wire.Object:
    """Said where the model does otherwise by itself."""
    by_itself = "omitted" if "thinking_omitted" in capabilities else "summarized"
    return {"display": reasoning.display} if reasoning.display not in (None, by_itself) else {}


def _disabled(capabilities: frozenset[str]) -> wire.Object:
    if "adaptive_thinking" in capabilities and "always_thinking" not in capabilities:
        return {"thinking": {"type": "disabled"}}
    return {}


def _bucket(budget: int | None, max_tokens: int) -> str | None:
    """The effort whose share of the output a budget is."""
    if budget is None:
        return None
    share = budget * 100 // max_tokens
    return next((effort for effort in _LADDER if share <= _SHARES[effort]), "max")


def _step_down(effort: str | None, capabilities: frozenset[str]) -> str | None:
    """The highest listed level that is not above the one asked for, or the lowest listed."""
    if effort is None:
        return None
    wanted = "low" if effort == "minimal" else effort
    listed = [level for level in _LADDER if f"effort_{level}" in capabilities] or list(_LISTED)
    if wanted not in _LADDER:
        return None
    within = [level for level in listed if _LADDER.index(level) <= _LADDER.index(wanted)]
    return within[-1] if within else listed[0]
