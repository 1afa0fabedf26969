"""A client's Anthropic body, and a request of another dialect in Anthropic's words."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, floats
from apps.domain.protocols import splice
from apps.domain.protocols.anthropic_messages import (
    blocks,
    history,
    models,
    names,
    reasoning,
    tools,
    turns,
    validation,
    wire,
    words,
)
from apps.domain.protocols.contract import ClientCall, Target

_JSON_ONLY = "Answer with a single valid JSON object and nothing else: no prose, no code fence."
_decoder = msgspec.json.Decoder(wire.Body, float_hook=floats.read)
_deep_decoder = msgspec.json.Decoder(wire.DeepBody, float_hook=floats.read)
_INTERLEAVED = b"interleaved-thinking"  # the beta with which a budget may be larger than max_tokens
_understood = frozenset(wire.DeepBody.__struct_fields__)


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest that names the field. Blocks are looked into only when they must be translated."""
    members = splice.read(body)
    splice.refuse_other_case(members, _understood)
    read = validation.decode(_decoder, body)
    return ClientCall(
        protocol=blocks.NAME,
        body=body,
        wire=wire.Wire(read, members),
        model=read.model,
        stream=read.stream is True,
        max_tokens=read.max_tokens,
        user=read.metadata.user_id if read.metadata is not None else None,
        fields=members.values,
    )


def to_chat(call: ClientCall) -> chat.ChatRequest:
    """Raises InvalidRequest for a block that lacks what its type needs."""
    read = validation.decode(_deep_decoder, call.body)
    config = read.output_config or wire.OutputConfig()
    offered = tools.read(read.tools or [])
    return chat.ChatRequest(
        model=read.model,
        messages=history.read(read.messages),
        system=blocks.read_texts(read.system or "", at="system"),
        tools=offered,
        tool_choice=tools.read_choice(read.tool_choice, offered),
        parallel_tools=False if read.tool_choice and read.tool_choice.disable_parallel_tool_use else None,
        max_tokens=read.max_tokens,
        temperature=read.temperature,
        top_p=read.top_p,
        top_k=read.top_k,
        stop=_read_stop(read.stop_sequences or []),
        stream=call.stream,
        reasoning=reasoning.read(
            read, config.effort, interleaved=_INTERLEAVED in call.headers.get(b"anthropic-beta", b"")
        ),
        format=_read_format(config.format, at="output_config.format")
        or _read_format(read.output_format, at="output_format"),
        user=call.user,
        rest=_rest(call),
    )


def write(request: chat.ChatRequest, target: Target) -> wire.Object:
    """For a request that came from another dialect. Raises InvalidRequest where Anthropic has no equivalent."""
    capabilities = models.capabilities(target.model, given=target.capabilities)
    arranged = turns.arrange(request.messages, takes_system="system_messages" in capabilities)
    # Another dialect's clients ask for what other models can do; above its own cap Claude refuses.
    max_tokens = min(request.max_tokens or target.max_output_tokens, target.max_output_tokens)
    body: wire.Object = {
        "model": target.model,
        "max_tokens": max_tokens,
        "messages": [{"role": role, "content": content} for role, content in arranged],
    }
    if system := [raw for text in request.system if (raw := blocks.write(text)) is not None]:
        body["system"] = system
    if written := tools.write(request.tools):
        body["tools"] = written
        if choice := tools.write_choice(request.tool_choice, parallel=request.parallel_tools):
            body["tool_choice"] = choice
    body |= reasoning.write(request.reasoning, max_tokens=max_tokens, capabilities=capabilities)
    _write_format(body, request.format, capabilities)
    _settle_thinking(body, arranged)
    _write_sampling(body, request, capabilities)
    if stop := [text for text in request.stop if text.strip()]:
        body["stop_sequences"] = stop
    if request.user:
        body["metadata"] = {"user_id": request.user}
    if request.stream:
        body["stream"] = True
    return body


def _read_stop(stops: list[str]) -> tuple[str, ...]:
    if not all(stop.strip() for stop in stops):
        raise validation.invalid("stop_sequences", "each stop sequence must contain non-whitespace")
    return tuple(stops)


def _read_format(raw: wire.Object | None, *, at: str) -> chat.Format | None:
    if raw is None:
        return None
    if raw.get("type") != "json_schema":
        raise validation.invalid(f"{at}.type", "Input should be 'json_schema'")
    if not isinstance(raw.get("schema"), dict):
        raise validation.invalid(f"{at}.schema", "Input should be an object" if "schema" in raw else "Field required")
    return chat.Format(schema=raw["schema"])


def _rest(call: ClientCall) -> dict[str, Any]:
    given = call.fields
    read = {name: validation.value(bytes(given[name]), at=name) for name in words.PLAIN if name in given}
    rest = {name: value for name, value in read.items() if value is not None}
    if (tier := bytes(given.get("service_tier", b"null"))) != b"null":
        if tier not in words.OWN_TIERS:
            raise validation.invalid("service_tier", "Input should be 'auto' or 'standard_only'")
        rest["service_tier"] = msgspec.Raw(words.TIERS.get(tier, tier))
    return rest


def _write_format(body: dict[str, Any], wanted: chat.Format | None, capabilities: frozenset[str]) -> None:
    """A schema natively where the model has it and the schema qualifies, else as a tool that must be called."""
    if wanted is None:
        return
    if wanted.schema is None:
        body.setdefault("system", []).append({"type": "text", "text": _JSON_ONLY})
        return
    if "structured_outputs" in capabilities and tools.is_closed(wanted.schema):
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": wanted.schema}
        return
    answer = chat.Tool(names.FORMAT_TOOL, "Gives the answer. Call it to answer.", wanted.schema)
    choice = body.get("tool_choice", {}).get("type", "auto") if "tools" in body else "none"
    body.setdefault("tools", []).extend(tools.write((answer,)))
    if choice == "none":
        body["tool_choice"] = {"type": "tool", "name": names.FORMAT_TOOL}
    elif choice == "auto":
        body["tool_choice"] = body.get("tool_choice", {}) | {"type": "any"}


def _settle_thinking(body: dict[str, Any], arranged: list[turns.Turn]) -> None:
    """Budgeted thinking gives way where Anthropic refuses it: beside a forced tool, or in an answer begun without."""
    enabled = body.get("thinking", {}).get("type") == "enabled"
    if enabled and (tools.forces(body.get("tool_choice")) or turns.lacks_thinking(arranged)):
        del body["thinking"]


def _write_sampling(body: dict[str, Any], request: chat.ChatRequest, capabilities: frozenset[str]) -> None:
    """Left out where the model refuses it, and beside thinking, where no model takes it."""
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if thinks or "no_sampling" in capabilities:
        return
    if request.temperature is not None:
        body["temperature"] = max(0.0, min(request.temperature, 1.0))
    if request.top_p is not None and request.top_p < 1:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
