"""Tools and the choice among them, both ways (PROTOCOLS A5)."""

from __future__ import annotations

import re
from typing import Any, Literal

from apps.domain import chat
from apps.domain.errors import Unfit
from apps.domain.protocols.anthropic_messages import validation, wire

_MODES: dict[str, Literal["auto", "any", "tool", "none"]] = {
    "auto": "auto",
    "any": "any",
    "tool": "tool",
    "none": "none",
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf")


def read(raw_tools: list[wire.Object]) -> tuple[chat.Tool, ...]:
    """Raises InvalidRequest for a tool that Anthropic would refuse."""
    tools = tuple(_read(raw, at=f"tools.{position}") for position, raw in enumerate(raw_tools))
    if len({tool.name for tool in tools}) < len(tools):
        raise validation.invalid("tools", "Tool names must be unique.")
    return tools


def read_choice(choice: wire.ToolChoice | None, offered: tuple[chat.Tool, ...]) -> chat.ToolChoice | None:
    """Raises InvalidRequest for a tool that nobody here could call. Where there is none, there is no choice."""
    if choice is None:
        return None
    mode = _MODES.get(choice.type)
    if mode is None:
        raise validation.invalid("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'")
    if mode == "tool" and not choice.name:
        raise validation.invalid("tool_choice.name", "Field required")
    if not offered:
        return None
    if mode == "tool" and choice.name not in {tool.name for tool in offered if tool.raw is None}:
        raise validation.invalid("tool_choice.name", f"Tool '{choice.name}' not found among the tools of this model")
    return chat.ToolChoice(mode, choice.name)


def write(tools: tuple[chat.Tool, ...]) -> list[wire.Object]:
    """Server tools of other dialects are left out. Raises InvalidRequest for a schema that Anthropic cannot take."""
    return [_write(tool) for tool in tools if tool.raw is None]


def write_choice(choice: chat.ToolChoice | None, *, parallel: bool | None) -> wire.Object | None:
    """None: the model decides, and may call several at once."""
    raw: wire.Object = {"type": choice.mode if choice is not None else "auto"}
    if choice is not None and choice.mode == "tool":
        raw["name"] = choice.name
    if parallel is False and raw["type"] != "none":
        raw["disable_parallel_tool_use"] = True
    return None if raw == {"type": "auto"} and choice is None else raw


def forces(choice: wire.Object | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def is_closed(schema: Any) -> bool:
    """Whether every object of a schema forbids further properties, as strict use demands."""
    if isinstance(schema, list):
        return all(is_closed(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    kind = schema.get("type")
    is_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
    if is_object and schema.get("additionalProperties") is not False:
        return False
    return all(is_closed(value) for value in schema.values())


def _read(raw: wire.Object, *, at: str) -> chat.Tool:
    tool = validation.convert(raw, wire.Tool, at=at)
    if tool.type not in (None, "custom"):
        return chat.Tool(tool.name, None, {}, raw=raw)
    if not tool.name:
        raise validation.invalid(f"{at}.name", "Field required")
    if not _NAME.fullmatch(tool.name):
        raise validation.invalid(f"{at}.name", f"String should match pattern '^{_NAME.pattern}$'")
    if tool.input_schema is None:
        raise validation.invalid(f"{at}.input_schema", "Field required")
    if tool.input_schema.get("type", "object") != "object":
        raise validation.invalid(f"{at}.input_schema.type", "Input should be 'object'")
    return chat.Tool(tool.name, tool.description, tool.input_schema, tool.strict, tool.cache_control)


def _write(tool: chat.Tool) -> wire.Object:
    schema = tool.schema or {"type": "object", "properties": {}}
    if any(word in schema for word in _NOT_AT_THE_TOP):
        reason = f"the schema of '{tool.name}' has oneOf, allOf or anyOf at its top, which it does not take"
        raise Unfit("tools", reason)
    raw: wire.Object = {"name": tool.name}
    if tool.description:
        raw["description"] = tool.description
    raw["input_schema"] = schema if "type" in schema else {"type": "object"} | schema
    if tool.strict and is_closed(schema):
        raw["strict"] = True
    if tool.cache_control is not None:
        raw["cache_control"] = tool.cache_control
    return raw
