"""How hard to think, in Ollama's `think`."""

from __future__ import annotations

from apps.domain.chat import Reasoning

_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}
_SHARES = ((0.2, "low"), (0.65, "medium"), (0.9, "high"))  # a budget's share of the output cap; beyond: max
_CEILING = {"gpt-oss": "high"}  # by the model's name: the highest level it has


def write(wanted: Reasoning, *, max_tokens: int, model: str, capabilities: frozenset[str]) -> bool | str | None:
    """None: say nothing, and a model that can think does.

    A model that cannot answers 400 to any level. So one of which the catalog says something, but nothing of thinking,
    is not asked to; nor is one of which it says nothing by a caller who leaves it to the model.
    """
    if wanted.mode == "disabled" or wanted.effort == "none":
        return None if "always_thinking" in capabilities else False
    thinks = any("thinking" in capability or capability.startswith("effort_") for capability in capabilities)
    if not thinks and (capabilities or wanted.mode == "adaptive"):
        return None
    if wanted.effort is None and wanted.budget is None:
        return True if wanted.mode == "enabled" else None
    level = _LEVELS.get(wanted.effort or _bucket(wanted.budget or 0, max_tokens))
    ceiling = next((most for name, most in _CEILING.items() if name in model), None)
    return ceiling if level == "max" and ceiling else level


def _bucket(budget: int, max_tokens: int) -> str:
    share = budget / max(max_tokens, 1)
    return next((level for most, level in _SHARES if share <= most), "max")
