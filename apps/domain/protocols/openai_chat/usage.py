"""Token counts: OpenAI's overlapping ones to the five disjoint ones, and back."""

from __future__ import annotations

from typing import Any

from apps.domain.tokens import TokenUsage

ABSURD = 10**9
"""No answer has this many tokens: a count beyond it, or below zero, makes the whole report worthless."""


def read(raw: Any) -> TokenUsage | None:
    """The `usage` object of an answer or chunk; None where there is none that can be believed."""
    if not isinstance(raw, dict):
        return None
    prompt, output = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    inside, outside = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    cached = _count(inside.get("cached_tokens") or raw.get("prompt_cache_hit_tokens") or 0)  # the latter: DeepSeek
    written = _count(inside.get("cache_write_tokens") or 0)
    reasoning = _count(outside.get("reasoning_tokens") or 0)
    if prompt is None or output is None or cached is None or written is None or reasoning is None:
        return None
    if reasoning and raw.get("total_tokens") == prompt + output + reasoning:
        output += reasoning  # xAI counts it beside the completion, and its total says so
    # Who reports more cached than prompted counts as Anthropic does: the prompt without the cached part.
    fresh = prompt if cached > prompt else max(0, prompt - cached - written)
    return TokenUsage(
        in_fresh=fresh,
        in_cache_read=cached,
        in_cache_write_5m=written,
        out_total=output,
        out_reasoning=min(reasoning, output),
    )


def write(usage: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.in_total,
        "completion_tokens": usage.out_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.in_cache_read,
            "cache_write_tokens": usage.in_cache_write_5m + usage.in_cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.out_reasoning},
    }


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    details = raw.get(name)
    return details if isinstance(details, dict) else {}


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= ABSURD:
        return None
    return value
