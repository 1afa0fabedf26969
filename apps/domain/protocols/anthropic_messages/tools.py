"""Tools and the choice among them, both ways (PROTOCOLS A5)."""

from __future__ import annotations

from typing import Any, Literal

from apps.domain import chat
from apps.domain.errors import InvalidRequest
from apps.domain.protocols.anthropic_messages import validation, wire

_MODES: dict[str, Literal["auto", "any", "tool", "none"]] = {
    "auto": "auto",
    "any": "any",
    "tool": "tool",
    "none": "none",
}
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf")


def read(raw_tools: list[wire.Object]) -> tuple[chat.Tool, ...]:
    return tuple(_read(raw, at=f"tools.{position}") for position, raw in enumerate(raw_tools))


def read_choice(choice: wire.ToolChoice | None) -> chat.ToolChoice | None:
    if choice is None:
        return None
    mode = _MODES.get(choice.type)
    if mode is None:
        raise validation.invalid("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'")
    if mode == "tool" and not choice.name:
        raise validation.invalid("tool_choice.name", "Field required")
    return chat.ToolChoice(mode, choice.name)


def write(tools: tuple[chat.Tool, ...]) -> list[wire.Object]:
    """Server tools of other dialects are left out. Raises InvalidRequest for a schema that Anthropic cannot take."""
    return [_write(tool, at=position) for position, tool in enumerate(tools) if tool.raw is None]


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
    if tool.input_schema is None:
        raise validation.invalid(f"{at}.input_schema", "Field required")
    return chat.Tool(tool.name, tool.description, tool.input_schema, tool.strict, tool.cache_control)


def _write(tool: chat.Tool, *, at: int) -> wire.Object:
    schema = tool.schema or {"type": "object", "properties": {}}
    if any(word in schema for word in _NOT_AT_THE_TOP):
        raise InvalidRequest(
            f"tools.{at}: the schema of tool '{tool.name}' has oneOf, allOf or anyOf at its top level, which this"
            " model does not support",
            param=f"tools.{at}",
        )
    raw: wire.Object = {"name": tool.name}
    if tool.description:
        raw["description"] = tool.description
    raw["input_schema"] = schema if "type" in schema else {"type": "object"} | schema
    if tool.strict and is_closed(schema):
        raw["strict"] = True
    if tool.cache_control is not None:
        raw["cache_control"] = tool.cache_control
    return raw
