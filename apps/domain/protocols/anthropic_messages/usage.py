"""Usage, both ways. Anthropic's input counters are disjoint already; its stream's are cumulative (PROTOCOLS A8)."""

from __future__ import annotations

from typing import Any

from apps.domain.protocols.anthropic_messages import wire
from apps.domain.tokens import NOTHING, TokenUsage

# No call has ever used this much; a provider that says so is not believed in anything.
_MOST = 100_000_000
_COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)


class Totals:
    """What a provider has said so far. Later words overwrite earlier ones and never add to them."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}

    def update(self, raw: Any) -> None:
        if not isinstance(raw, dict):
            return
        said = self._said
        for name in _COUNTERS:
            if (count := raw.get(name)) is not None:
                said[name] = count
        creation = raw.get("cache_creation")
        if isinstance(creation, dict):
            said["5m"] = creation.get("ephemeral_5m_input_tokens") or 0
            said["1h"] = creation.get("ephemeral_1h_input_tokens") or 0
        details = raw.get("output_tokens_details")
        if isinstance(details, dict):
            said["thinking"] = details.get("thinking_tokens") or 0

    @property
    def usage(self) -> TokenUsage | None:
        """None where nothing was said, or nothing that can be believed."""
        said = self._said
        for count in said.values():
            if type(count) is not int or not 0 <= count <= _MOST:
                return None
        out = said.get("output_tokens", 0)
        hour = said.get("1h", 0)
        # The sum may come without its parts, and the parts without their sum. What no part explains lives 5 minutes.
        written = max(said.get("cache_creation_input_tokens", 0), hour + said.get("5m", 0))
        usage = TokenUsage(
            in_fresh=said.get("input_tokens", 0),
            in_cache_read=said.get("cache_read_input_tokens", 0),
            in_cache_write_5m=written - hour,
            in_cache_write_1h=hour,
            out_total=out,
            out_reasoning=min(said.get("thinking", 0), out),
        )
        return None if usage == NOTHING else usage


def read(raw: Any) -> TokenUsage | None:
    totals = Totals()
    totals.update(raw)
    return totals.usage


def write(usage: TokenUsage) -> wire.Object:
    """All four totals: a client's copy of earlier ones is overwritten by them."""
    raw: wire.Object = {
        "input_tokens": usage.in_fresh,
        "cache_creation_input_tokens": usage.in_cache_write_5m + usage.in_cache_write_1h,
        "cache_read_input_tokens": usage.in_cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.in_cache_write_5m,
            "ephemeral_1h_input_tokens": usage.in_cache_write_1h,
        },
        "output_tokens": usage.out_total,
    }
    if usage.out_reasoning:
        raw["output_tokens_details"] = {"thinking_tokens": usage.out_reasoning}
    return raw
