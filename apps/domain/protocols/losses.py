"""What a translation could not carry over, for the ledger: names of documented fields, and nothing of what is in them.

Other names are the caller's own words, so they are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from apps.domain.chat import ChatRequest
from apps.domain.protocols.contract import ClientCall, ClientFormat, Target, UpstreamFormat

DOCUMENTED = frozenset(
    {
        # Anthropic's
        "cache_control", "container", "context_management", "inference_geo", "mcp_servers", "metadata",
        "output_config", "output_format", "service_tier", "speed", "thinking", "top_k",
        # OpenAI's
        "audio", "background", "conversation", "frequency_penalty", "include", "logit_bias", "logprobs",
        "max_tool_calls", "modalities", "prediction", "presence_penalty", "previous_response_id", "prompt",
        "prompt_cache_key", "prompt_cache_retention", "reasoning", "seed", "store", "stream_options", "temperature",
        "text", "top_logprobs", "top_p", "truncation", "verbosity", "web_search_options",
    }
)  # fmt: skip
_SAMPLING = ("temperature", "top_p", "top_k")


def steps(
    call: ClientCall, asked: ChatRequest, target: Target, *, client: ClientFormat, upstream: UpstreamFormat
) -> tuple[str, ...]:
    translated = _translated(client.name, upstream.name)
    lost = {*client.unread(call), *(asked.rest.keys() - upstream.takes)}
    without = {*upstream.lacks, *(_SAMPLING if "no_sampling" in target.capabilities else ())}
    lost |= {name for name in without if getattr(asked, name) not in (None, ())}
    told = (translated, _dropped(lost)) if lost else (translated,)
    has_own_tools = any(tool.raw is not None for tool in asked.tools)
    return (*told, "dropped: tools that the caller's vendor runs") if has_own_tools else told


def _dropped(lost: Iterable[str]) -> str:
    known = sorted(DOCUMENTED.intersection(lost))
    unknown = len({*lost}) - len(known)
    return "dropped: " + ", ".join([*known, *([f"{unknown} unknown"] if unknown else [])])


@lru_cache(maxsize=64)
def _translated(client: str, upstream: str) -> str:
    return f"translated {client} -> {upstream}"
