"""Tools and the choice among them (PROTOCOLS A5)."""

from __future__ import annotations

from apps.domain import chat
from apps.domain.protocols.anthropic_messages import tools
from apps.domain.protocols.bedrock_converse.blocks import Object, Writer


def write(
    asked: tuple[chat.Tool, ...],
    choice: chat.ToolChoice | None,
    turns: list[tuple[str, list[Object]]],
    *,
    writer: Writer,
    capabilities: frozenset[str],
) -> Object | None:
    """`toolConfig`. It has no word for "none", and must be there as long as the history holds calls."""
    used = dict.fromkeys(raw["name"] for _, content in turns for raw in content if raw["type"] == "tool_use")
    if choice is not None and choice.mode == "none" and not used:
        return None
    marks = writer.mark if "cached_tools" in capabilities else lambda raw: []
    specs = [spec for raw in tools.write(asked) for spec in (_spec(raw, capabilities), *marks(raw))]
    if not specs:
        specs = [_spec({"name": name, "input_schema": {"type": "object"}}, capabilities) for name in used]
        choice = None
    if not specs:
        return None
    config: Object = {"tools": specs}
    if choice is not None and choice.mode != "none" and "forced_tools" in capabilities:
        config["toolChoice"] = {choice.mode: {"name": choice.name} if choice.mode == "tool" else {}}
    return config


def forces(config: Object | None) -> bool:
    return config is not None and not {"any", "tool"}.isdisjoint(config.get("toolChoice", {}))


def one_at_a_time(config: Object) -> Object:
    """`tool_choice` in Claude's own words, for among the model's own fields. Converse has no such word, and the choice
    may stand in one place only, so it is taken out of `config`."""
    ((mode, named),) = config.pop("toolChoice", {"auto": {}}).items()
    return {"tool_choice": {"type": mode, **named, "disable_parallel_tool_use": True}}


def _spec(raw: Object, capabilities: frozenset[str]) -> Object:
    spec: Object = {"name": raw["name"]}
    if raw.get("description"):
        spec["description"] = raw["description"]
    spec["inputSchema"] = {"json": raw["input_schema"]}
    if raw.get("strict") and "structured_outputs" in capabilities:
        spec["strict"] = True
    return {"toolSpec": spec}
