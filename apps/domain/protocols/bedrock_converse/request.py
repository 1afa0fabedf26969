"""A request in Converse's words."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.domain import chat
from apps.domain.protocols import bedrock_tiers
from apps.domain.protocols.anthropic_messages import blocks as anthropic_blocks
from apps.domain.protocols.anthropic_messages import reasoning
from apps.domain.protocols.anthropic_messages import tools as anthropic_tools
from apps.domain.protocols.anthropic_messages import turns as anthropic_turns
from apps.domain.protocols.anthropic_messages.names import FORMAT_TOOL
from apps.domain.protocols.bedrock_converse import families, tools
from apps.domain.protocols.bedrock_converse.blocks import Object, Writer
from apps.domain.protocols.contract import Target
from apps.domain.protocols.fields import Words
from apps.domain.protocols.openai_chat.messages import ATTRIBUTION

_JSON_ONLY = "Answer with a single valid JSON object and nothing else: no prose, no code fence."
_SCHEMA = "It must conform to this JSON schema: "
STOP_PATH = "/stop_sequence"
WORDS: Words = {
    "messages": ("messages",),
    "system": ("system",),
    "tools": ("toolConfig.tools",),
    "tool_choice": ("toolConfig.toolChoice", "additionalModelRequestFields.tool_choice"),
    "tool_choice.none": (),  # the tools are left out
    "parallel_tools": ("additionalModelRequestFields.tool_choice.disable_parallel_tool_use",),
    "max_tokens": ("inferenceConfig.maxTokens",),
    "temperature": ("inferenceConfig.temperature",),
    "top_p": ("inferenceConfig.topP",),
    "top_k": ("additionalModelRequestFields.top_k", "additionalModelRequestFields.inferenceConfig.topK"),
    "stop": ("inferenceConfig.stopSequences",),
    "reasoning": (
        "additionalModelRequestFields.thinking",
        "additionalModelRequestFields.reasoning_effort",
        "outputConfig.effort",
    ),
    "reasoning.display": ("additionalModelRequestFields.thinking.display",),
    "format": (),  # as a tool, or in words
    "user": ("requestMetadata.user_id",),
    "service_tier": ("serviceTier",),
}
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_LEVELS = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}


def write(asked: chat.ChatRequest, target: Target) -> Object:
    """Raises InvalidRequest where Converse has no equivalent."""
    capabilities = families.capabilities(target.model, given=target.capabilities)
    asked, output = _settle_format(asked, capabilities)
    writer = Writer(capabilities)
    turns = anthropic_turns.arrange(asked.messages, takes_system=False)
    config = tools.write(asked.tools, asked.tool_choice, turns, writer=writer, capabilities=capabilities)
    max_tokens = min(asked.max_tokens or target.max_output_tokens, target.max_output_tokens)
    thinking = _thinking(asked, turns, config, max_tokens=max_tokens, capabilities=capabilities)
    effort = thinking.pop("output_config", {})
    samples = not thinking and "no_sampling" not in capabilities
    body: Object = {"messages": [{"role": role, "content": writer.turn(content)} for role, content in turns]}
    if system := _system(asked.system, writer, capabilities):
        body["system"] = system
    body["inferenceConfig"] = _inference(asked, max_tokens, samples=samples)
    if config is not None:
        body["toolConfig"] = config
    if fields := thinking | _own_fields(asked, config, capabilities, samples=not thinking):
        body["additionalModelRequestFields"] = fields
    if "stopSequences" in body["inferenceConfig"] and "stop_told" in capabilities:
        body["additionalModelResponseFieldPaths"] = [STOP_PATH]
    if output := (output or {}) | effort:
        body["outputConfig"] = output
    if tier := bedrock_tiers.named(asked.rest.get("service_tier")):
        body["serviceTier"] = {"type": tier}
    if asked.user and _METADATA.fullmatch(asked.user):
        body["requestMetadata"] = {"user_id": asked.user}
    return body


def _system(texts: tuple[chat.Text, ...], writer: Writer, capabilities: frozenset[str]) -> list[Object]:
    """What is addressed to Anthropic goes to its models only."""
    kept = [text for text in texts if "signed" in capabilities or not text.text.startswith(ATTRIBUTION)]
    written = [raw for text in kept if (raw := anthropic_blocks.write(text)) is not None]
    return [block for raw in written for block in ({"text": raw["text"]}, *writer.mark(raw))]


def _inference(asked: chat.ChatRequest, max_tokens: int, *, samples: bool) -> Object:
    config: Object = {"maxTokens": max_tokens}
    if samples and asked.temperature is not None:
        config["temperature"] = max(0.0, min(asked.temperature, 1.0))
    if samples and asked.top_p is not None and asked.top_p < 1:
        config["topP"] = asked.top_p
    if stop := [text for text in asked.stop if text.strip()]:
        config["stopSequences"] = stop
    return config


def _thinking(
    asked: chat.ChatRequest,
    turns: list[anthropic_turns.Turn],
    config: Object | None,
    *,
    max_tokens: int,
    capabilities: frozenset[str],
) -> Object:
    """Claude's, in Anthropic's words. A budget gives way where it is refused."""
    if "signed" not in capabilities:
        return {}
    wanted = reasoning.write(asked.reasoning, max_tokens=max_tokens, capabilities=capabilities)
    kind = wanted.get("thinking", {}).get("type")
    if kind == "enabled" and (tools.forces(config) or anthropic_turns.lacks_thinking(turns)):
        return {}
    return wanted if kind != "disabled" else {}


def _own_fields(
    asked: chat.ChatRequest, config: Object | None, capabilities: frozenset[str], *, samples: bool
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    calls = config is not None and (asked.tool_choice is None or asked.tool_choice.mode != "none")
    if config is not None and calls and asked.parallel_tools is False and "one_call" in capabilities:
        fields |= tools.one_at_a_time(config)
    if asked.top_k is not None and samples:
        if "top_k" in capabilities:
            fields["top_k"] = asked.top_k
        elif "nova_top_k" in capabilities:
            fields["inferenceConfig"] = {"topK": asked.top_k}
    effort = "none" if asked.reasoning.mode == "disabled" else asked.reasoning.effort
    if "reasoning_effort" in capabilities and effort is not None:
        fields["reasoning_effort"] = _LEVELS.get(effort, effort)
    return fields


def _settle_format(asked: chat.ChatRequest, capabilities: frozenset[str]) -> tuple[chat.ChatRequest, Object | None]:
    """A schema natively where the model has it, else as a tool that must be called, else in words."""
    wanted = asked.format
    if wanted is None:
        return asked, None
    if wanted.schema is None:
        return _told(asked, _JSON_ONLY), None
    schema = msgspec.json.encode(wanted.schema).decode()
    if "structured_outputs" in capabilities and anthropic_tools.is_closed(wanted.schema):
        named = {"schema": schema} | ({"name": wanted.name} if wanted.name else {})
        return asked, {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": named}}}
    if "forced_tools" not in capabilities:
        return _told(asked, f"{_JSON_ONLY} {_SCHEMA}{schema}"), None
    answer = chat.Tool(FORMAT_TOOL, "Gives the answer. Call it to answer.", wanted.schema)
    choice = asked.tool_choice
    if not asked.tools or (choice is not None and choice.mode == "none"):
        choice = chat.ToolChoice("tool", FORMAT_TOOL)
    elif choice is None or choice.mode == "auto":
        choice = chat.ToolChoice("any")
    return msgspec.structs.replace(asked, tools=(*asked.tools, answer), tool_choice=choice), None


def _told(asked: chat.ChatRequest, instruction: str) -> chat.ChatRequest:
    return msgspec.structs.replace(asked, system=(*asked.system, chat.Text(instruction)))
