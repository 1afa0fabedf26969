"""What a translation could not carry over, for the ledger: names of documented fields, and nothing of what is in them.

Other names are the caller's own words, so they are only counted. What was carried is seen in the body that was written,
so no upstream has to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from apps.domain.chat import ChatRequest
from apps.domain.protocols import fields
from apps.domain.protocols.anthropic_messages import models
from apps.domain.protocols.contract import ClientCall, ClientFormat, Target, UpstreamFormat
from apps.domain.protocols.fields import Words

DOCUMENTED = frozenset(
    {
        # Anthropic's
        "betas", "billing_policy", "cache_control", "compaction", "container", "context_management", "diagnostics",
        "fallback_credit_token", "fallbacks", "inference_geo", "mcp_servers", "metadata", "metadata.user_id",
        "output_config", "output_config.effort", "output_config.format", "output_config.task_budget", "output_format",
        "service_tier", "speed", "stop_sequences", "thinking", "thinking.display", "thread", "tool_choice",
        "tool_choice.disable_parallel_tool_use", "top_k", "user_profile_id", "workspace_id",
        # OpenAI's
        "access_programs", "audio", "background", "client_metadata", "conversation", "frequency_penalty",
        "function_call", "image", "include", "logit_bias", "logprobs", "max_tool_calls", "modalities", "moderation",
        "parallel_tool_calls", "prediction", "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "reasoning", "reasoning.context", "reasoning.effort",
        "reasoning.mode", "reasoning_effort", "response_format", "safety_identifier", "seed", "stop", "store",
        "stream_options", "stream_options.include_obfuscation", "temperature", "text", "text.format", "text.verbosity",
        "top_logprobs", "top_p", "truncation", "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
# By field: what means as much as silence.
_SILENT: Mapping[str, tuple[Any, ...]] = {
    "parallel_tools": (None, True),
    "temperature": (None,),
    "top_p": (None, 1),
    "top_k": (None,),
    "stop": ((),),
    "format": (None,),
    "user": (None, ""),
}
_AS_EVER = ("service_tier", msgspec.Raw(b'"auto"'))
_NOTHING = (msgspec.Raw(b"null"), msgspec.Raw(b"false"))
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def steps(
    call: ClientCall,
    asked: ChatRequest,
    *,
    client: ClientFormat,
    upstream: UpstreamFormat,
    target: Target,
    sent: Mapping[str, Any],
) -> tuple[str, ...]:
    """`sent`: what was written of `asked` for the upstream, body and headers."""
    translated = _translated(client.name, upstream.name)
    lost = _unread(call, client)
    for field in (*_unsaid(asked, sent, upstream.words), *_unheeded(asked, sent, upstream.words, target)):
        if name := fields.named(field, client.words, given=call.fields):
            lost.add(name)
    told = (translated, dropped(lost)) if lost else (translated,)
    has_own_tools = any(tool.raw is not None for tool in asked.tools)
    return (*told, "dropped: tools that the caller's vendor runs") if has_own_tools else told


def _unread(call: ClientCall, client: ClientFormat) -> set[str]:
    """What the caller's dialect had no place for on the way to the canonical request."""
    given = call.fields
    lost = {name for name in given if name not in client.reads and given[name] not in _NOTHING}
    for name, parts in client.parts.items():
        if name in given:
            paths = {f"{name}.{part}" for part in _others(given[name], parts)}
            lost |= {path if path in DOCUMENTED else name for path in paths}
    return lost


def _others(raw: msgspec.Raw, parts: frozenset[str]) -> set[str]:
    """Its values stay as they are written: one of them may be a number that nothing of ours holds."""
    try:
        read = _members(raw)
    except msgspec.ValidationError:  # no object
        return set()
    return {part for part, value in read.items() if part not in parts and value not in _NOTHING}


def _unsaid(asked: ChatRequest, sent: Mapping[str, Any], words: Words) -> Iterable[str]:
    """Canonical fields that are not found again in what was written."""
    for field in _wishes(asked):
        paths = fields.paths_of(field, words)
        if paths is None or (paths and not _is_said(paths, sent)):
            yield field


def _is_said(paths: Iterable[str], sent: Mapping[str, Any]) -> bool:
    return any(fields.is_in(sent, path) for path in paths)


def _unheeded(asked: ChatRequest, sent: Mapping[str, Any], words: Words, target: Target) -> Iterable[str]:
    """Wishes of how not to think: what the model does nevertheless, and what nobody can ask beside them."""
    thinking, paths = asked.reasoning, words.get("reasoning", ())
    if thinking.mode == "disabled":
        if thinking.effort is not None:
            yield "reasoning.effort"
        if "always_thinking" in _capabilities(target) and not _is_said(paths, sent):
            yield "reasoning"
    elif thinking.display == "omitted" and (not paths or _is_said(paths, sent)) and _shows(target):
        told = words.get("reasoning.display")
        if told is None or (told and not _is_said(told, sent)):
            yield "reasoning.display"


def _shows(target: Target) -> bool:
    """Whether what the model thinks is seen by who says nothing of that. OpenAI's own Chat never shows it."""
    able = _capabilities(target)
    thinks = not able or any("thinking" in word or word.startswith("effort_") for word in able)
    return thinks and "thinking_omitted" not in able and "openai_fields" not in target.quirks


def _capabilities(target: Target) -> frozenset[str]:
    return models.capabilities(target.model, given=target.capabilities)


def _wishes(asked: ChatRequest) -> list[str]:
    """The canonical fields that say more than silence does."""
    found = [field for field, silent in _SILENT.items() if getattr(asked, field) not in silent]
    if asked.parallel_tools is False and not _calls(asked):
        found.remove("parallel_tools")
    thinking = asked.reasoning
    if thinking.mode != "disabled" and (thinking.mode or thinking.effort or thinking.budget):
        found.append("reasoning")
    if asked.tool_choice is not None and asked.tool_choice.mode != "auto":
        found.append(f"tool_choice.{asked.tool_choice.mode}")
    return [*found, *(name for name, value in asked.rest.items() if (name, value) != _AS_EVER)]


def _calls(asked: ChatRequest) -> bool:
    """Whether there is anything that the model may call."""
    may = asked.tool_choice is None or asked.tool_choice.mode != "none"
    return may and any(tool.raw is None for tool in asked.tools)


def dropped(lost: Iterable[str], *, documented: frozenset[str] = DOCUMENTED) -> str:
    known = sorted(documented.intersection(lost))
    unknown = len({*lost}) - len(known)
    return "dropped: " + ", ".join([*known, *([f"{unknown} unknown"] if unknown else [])])


@lru_cache(maxsize=64)
def _translated(client: str, upstream: str) -> str:
    return f"translated {client} -> {upstream}"
