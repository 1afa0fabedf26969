"""How hard to think, in OpenAI's words."""

from __future__ import annotations

from apps.domain.chat import Reasoning
from apps.domain.protocols.openai_chat import validation

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OFF = "none"
_CLAUDES_DEFAULT = "high"
_SHARES = ((0.35, "low"), (0.65, "medium"))  # a budget's share of the output cap; beyond: high, which all models know


def read(effort: str | None, *, param: str = "reasoning_effort") -> Reasoning:
    """Raises InvalidRequest for a level nobody has."""
    if effort is None:
        return Reasoning()
    if effort not in EFFORTS:
        supported = ", ".join(f"'{known}'" for known in EFFORTS)
        raise validation.wrong_value(param, value=effort, supported=supported)
    return Reasoning(mode="disabled") if effort == _OFF else Reasoning(effort=effort, display="summarized")


def write(wanted: Reasoning, *, max_tokens: int, capabilities: frozenset[str], quirks: frozenset[str]) -> str | None:
    """None: say nothing. Effort goes before budget, a budget by its share of `max_tokens`.

    Capabilities `effort_low` … `effort_max` are the levels that the model lists; a model of which the catalog says
    something, but nothing of thinking, would answer 400 to the field.
    """
    listed = tuple(level for level in EFFORTS if f"effort_{level}" in capabilities)
    if capabilities and not listed and not any("thinking" in capability for capability in capabilities):
        return None
    if wanted.mode == "disabled":
        return _OFF if "effort_none" in quirks or _OFF in listed else None
    effort = wanted.effort or _bucket(wanted.budget, max_tokens) or (_CLAUDES_DEFAULT if wanted.mode else None)
    if effort is None or not listed or effort in listed or effort not in EFFORTS:
        return effort
    rank = EFFORTS.index(effort)
    within = [level for level in listed if EFFORTS.index(level) <= rank and level != _OFF]
    return within[-1] if within else next((level for level in listed if level != _OFF), None)


def switch(wanted: Reasoning) -> dict[str, str] | None:
    """For vendors who can only turn it on and off. None: say nothing."""
    if wanted.mode == "disabled":
        return {"type": "disabled"}
    asked = wanted.mode is not None or wanted.effort is not None or wanted.budget is not None
    return {"type": "enabled"} if asked else None


def _bucket(budget: int | None, max_tokens: int) -> str | None:
    if budget is None:
        return None
    share = budget / max(max_tokens, 1)
    return next((effort for most, effort in _SHARES if share <= most), "high")
