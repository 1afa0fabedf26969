"""The tools of a Responses request: functions, freeform ones, namespaces of both, and those that run at the vendor."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from apps.simulator.ask import Object, Tool
from apps.simulator.openai_messages import expect, refuse
from apps.simulator.openai_request import TOOL_NAME, check_strict, refuse_schema

_COMMON = {"type", "name", "description", "allowed_callers", "defer_loading", "async"}
FIELDS = {
    "function": _COMMON | {"parameters", "strict", "output_schema"},
    "custom": _COMMON | {"format"},
    "namespace": {"type", "name", "description", "tools"},
    "web_search": {"type", "filters", "search_context_size", "user_location", "external_web_access"},
}
FIELDS |= dict.fromkeys(("web_search_2025_08_26", "web_search_preview"), FIELDS["web_search"])
# Each with settings of its own, which are taken as they are.
HOSTED = (
    *("file_search", "computer", "computer_use_preview", "mcp", "code_interpreter", "image_generation", "local_shell"),
    *("shell", "apply_patch", "tool_search", "programmatic_tool_calling", "web_search_preview_2025_03_11"),
)


class Choice(msgspec.Struct, frozen=True):
    tools: tuple[Tool, ...]
    choice: Literal["auto", "any", "none"] = "auto"
    named: str | None = None


def read(document: Object) -> tuple[Choice, list[str]]:
    """The tools that may be called and how, and the text of all definitions. Raises Refused."""
    definitions = expect(document, "tools", list) or []
    tools = [tool for index, each in enumerate(definitions) for tool in _tools(each, at=f"tools[{index}]")]
    texts = [msgspec.json.encode(definition).decode() for definition in definitions]
    return _chosen(document.get("tool_choice"), tools=tuple(tools), definitions=definitions), texts


def searches(document: Object) -> bool:
    """Whether there is a tool that looks something up in the web."""
    return any(str(tool.get("type")).startswith("web_search") for tool in document.get("tools") or [])


def _tools(definition: Any, *, at: str, namespace: str = "") -> list[Tool]:  # Any: nothing is known of it yet
    kind = definition.get("type") if isinstance(definition, dict) else None
    if kind in HOSTED and not namespace:
        return []
    allowed = ("function", "custom") if namespace else tuple(FIELDS)
    if kind not in allowed:
        supported = ", ".join(f"'{each}'" for each in (allowed if namespace else (*allowed, *HOSTED)))
        refuse(f"Invalid value: '{kind}'. Supported values are: {supported}.", param=f"{at}.type", code="invalid_value")
    unknown = definition.keys() - FIELDS[kind]
    if unknown:
        path = f"{at}.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    if kind.startswith("web_search"):
        return []
    name = _name(definition, at=at)
    if kind == "namespace":
        expect(definition, "description", str, at=f"{at}.", required=True)
        inner = expect(definition, "tools", list, at=f"{at}.", required=True)
        return [
            tool for index, each in enumerate(inner) for tool in _tools(each, at=f"{at}.tools[{index}]", namespace=name)
        ]
    if kind == "custom":
        return [Tool(name, {"type": "string"}, is_freeform=True, namespace=namespace)]
    return [Tool(name, _parameters(definition, name=name, at=at), namespace=namespace)]


def _name(definition: Object, *, at: str) -> str:
    name: str = expect(definition, "name", str, at=f"{at}.", required=True)
    if not TOOL_NAME.fullmatch(name):
        refuse(
            f"Invalid '{at}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            param=f"{at}.name",
            code="invalid_value",
        )
    return name


def _parameters(definition: Object, *, name: str, at: str) -> Object:
    parameters: Object = expect(definition, "parameters", dict, at=f"{at}.") or {"type": "object", "properties": {}}
    of, param = f"function '{name}'", f"{at}.parameters"
    if parameters.get("type") != "object":
        refuse_schema(of, "schema must be a JSON Schema of 'type: \"object\"'", param=param)
    if expect(definition, "strict", bool, at=f"{at}."):
        check_strict(parameters, of=of, param=param)
    return parameters


def _chosen(given: Any, *, tools: tuple[Tool, ...], definitions: list[Object]) -> Choice:  # Any: not known yet
    if given in (None, "auto"):
        return Choice(tools)
    if given == "none":
        return Choice(tools, "none")
    if not definitions:
        refuse("Tool choice other than 'auto' or 'none' requires 'tools' to be specified.", param="tool_choice")
    if given == "required":
        return Choice(tools, "any")
    kind = given.get("type") if isinstance(given, dict) else None
    if kind in ("function", "custom"):
        name = expect(given, "name", str, at="tool_choice.", required=True)
        if name not in {tool.name for tool in tools if tool.is_freeform is (kind == "custom")}:
            refuse(f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
        return Choice(tools, "any", name)
    if kind == "allowed_tools":
        allowed = expect(given, "tools", list, at="tool_choice.", required=True)
        names = {each.get("name") for each in allowed if isinstance(each, dict)}
        mode: Literal["any", "auto"] = "any" if given.get("mode") == "required" else "auto"
        return Choice(tuple(tool for tool in tools if tool.name in names), mode)
    if kind in {each.get("type") for each in definitions}:
        return Choice(tools)
    refuse(
        f"Invalid value: '{given}'. Supported values are: 'none', 'auto', and 'required'.",
        param="tool_choice",
        code="invalid_value",
    )
