"""Tools and the choice among them, both ways.

To other dialects every tool is a function. A namespace's tools get its name before theirs; a custom tool, whose input
is any text, is a function with one string; the local shell one with a command. `Table` knows what each was, so that
the call comes back as the item its tool promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from apps.domain import chat, floats
from apps.domain.errors import InvalidRequest
from apps.domain.protocols.openai_chat.request import check_schema, qualifies
from apps.domain.protocols.openai_responses import validation, wire

Kind = Literal["function", "custom", "local_shell"]

INPUT = "input"
"""The one argument of the function that stands for a custom tool."""
_MODES: dict[str, Literal["auto", "any", "none"]] = {"auto": "auto", "none": "none", "required": "any"}
_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_ANYTHING = {"type": "object", "properties": {}}
_ONE_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": [INPUT],
    "additionalProperties": False,
}
_SHELL = "local_shell"
_COMMAND = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "description": "The program and its arguments."},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
    },
    "required": ["command"],
}
# Run by OpenAI itself. Agents offer these with every request, whether or not anyone needs them; the others were asked
# for, and a caller must know that they are not there.
_LEFT_OUT = ("web_search", "image_generation", "tool_search")
_SUPPORTED = "'function', 'custom', 'namespace', and 'local_shell'"


class Promised(msgspec.Struct, frozen=True):
    """What a caller calls a tool, and how it wants to be told of a call."""

    kind: Kind
    name: str
    namespace: str | None = None


class Table:
    """The tools of one request by the names that they have in other dialects."""

    def __init__(self, body: wire.Body) -> None:
        self._promised: dict[str, Promised] = {}
        self._flat: dict[tuple[str | None, str], str] = {}
        for tool, namespace in offered(body):
            self._add(tool, namespace)

    @property
    def names(self) -> list[str]:
        return list(self._promised)

    def promised(self, flat: str) -> Promised:
        """A name that nobody offered is a function's: the model has invented it."""
        return self._promised.get(flat) or Promised("function", flat)

    def flat(self, name: str, *, namespace: str | None) -> str:
        """The history may name tools that are offered no more."""
        return self._flat.get((namespace, name)) or _joined(namespace, name)

    def find(self, choice: wire.ToolChoice) -> str | None:
        """The tool that a choice names; None: there is none of that name."""
        name = _SHELL if choice.type == _SHELL else choice.name or ""
        return self._flat.get((choice.namespace, name))

    def _add(self, tool: wire.Tool, namespace: str | None) -> None:
        name = _SHELL if tool.type == _SHELL else tool.name or ""
        flat = unique = _joined(namespace, name)
        number = 2
        while unique in self._promised:
            unique = f"{flat}_{number}"
            number += 1
        kind: Kind = "custom" if tool.type == "custom" else "local_shell" if tool.type == _SHELL else "function"
        self._promised[unique] = Promised(kind, name, namespace)
        self._flat.setdefault((namespace, name), unique)


def offered(body: wire.Body) -> Iterator[tuple[wire.Tool, str | None]]:
    """The tools that can be offered anywhere, with their namespaces, in order."""
    for tool in body.tools or ():
        if tool.type == "namespace":
            yield from ((inner, tool.name) for inner in tool.tools or () if inner.type in ("function", "custom"))
        elif tool.type in ("function", "custom", _SHELL):
            yield tool, None


def read(body: wire.Body, table: Table) -> tuple[chat.Tool, ...]:
    """Raises InvalidRequest for a tool without a name, and for one that only OpenAI could run."""
    for position, tool in enumerate(body.tools or ()):
        _check(tool, at=f"tools[{position}]")
    names = table.names
    return tuple(_read(tool, name) for (tool, _), name in zip(offered(body), names, strict=True))


def read_choice(choice: str | wire.ToolChoice | None, table: Table) -> chat.ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in _MODES:
            raise validation.wrong_value("tool_choice", value=choice, supported="'none', 'auto', and 'required'")
        return chat.ToolChoice(_MODES[choice])
    if choice.type == "allowed_tools":
        if choice.mode not in ("auto", "required"):
            raise validation.wrong_value("tool_choice.mode", value=choice.mode, supported="'auto' and 'required'")
        return chat.ToolChoice(_MODES[choice.mode])
    if choice.type in ("function", "custom") and not choice.name:
        raise validation.missing("tool_choice.name")
    name = table.find(choice)
    if name is None:
        raise _not_found(choice)
    return chat.ToolChoice("tool", name)


def allowed(tools: tuple[chat.Tool, ...], choice: wire.ToolChoice, table: Table) -> tuple[chat.Tool, ...]:
    """Raises InvalidRequest for one that is not among them. What only OpenAI could run is left out here too."""
    names = set()
    for tool in choice.tools or ():
        name = table.find(tool)
        if name is None and tool.type in ("function", "custom"):
            raise _not_found(tool)
        names.add(name)
    return tuple(tool for tool in tools if tool.name in names)


def _not_found(choice: wire.ToolChoice) -> InvalidRequest:
    message = f"Tool choice '{choice.name or choice.type}' not found in 'tools' parameter."
    return InvalidRequest(message, param="tool_choice", code="invalid_value")


def custom_input(arguments: str) -> str:
    """The text that a custom tool is called with; what the model wrote, if it is no such object."""
    try:
        given = floats.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = given.get(INPUT) if isinstance(given, dict) else None
    return text if isinstance(text, str) else arguments


def custom_arguments(text: str) -> str:
    return msgspec.json.encode({INPUT: text}).decode()


def write(request: chat.ChatRequest) -> dict[str, Any]:
    """Another vendor's server tools are left out: nobody here could run them."""
    tools = [_write(tool) for tool in request.tools if tool.raw is None]
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": tools}
    choice = request.tool_choice
    if choice is not None and choice.mode == "tool":
        if any(tool["name"] == choice.name for tool in tools):
            fields["tool_choice"] = {"type": "function", "name": choice.name}
    elif choice is not None:
        fields["tool_choice"] = _CHOICES[choice.mode]
    if request.parallel_tools is not None:
        fields["parallel_tool_calls"] = request.parallel_tools
    return fields


def _check(tool: wire.Tool, *, at: str) -> None:
    if tool.type.startswith(_LEFT_OUT) or tool.type == _SHELL:
        return
    if tool.type not in ("function", "custom", "namespace"):
        reason = f"a tool of type '{tool.type}' is run by OpenAI, and this model is not. Supported are {_SUPPORTED}."
        raise validation.unsupported(f"{at}.type", reason=reason)
    if not tool.name:
        raise validation.missing(f"{at}.name")
    for position, inner in enumerate(tool.tools or ()):
        _check(inner, at=f"{at}.tools[{position}]")
    check_schema(tool.parameters, name=tool.name, at=f"{at}.parameters")


def _read(tool: wire.Tool, name: str) -> chat.Tool:
    if tool.type == _SHELL:
        return chat.Tool(name, "Runs a command on the user's machine.", _COMMAND)
    if tool.type == "custom":
        return chat.Tool(name, _described(tool), _ONE_TEXT)
    return chat.Tool(name, tool.description, tool.parameters or _ANYTHING, strict=tool.strict)


def _described(tool: wire.Tool) -> str | None:
    """A grammar cannot be enforced elsewhere, but it can be told."""
    wanted = tool.format
    if wanted is None or wanted.type != "grammar":
        return tool.description
    grammar = f"The input must match this {wanted.syntax} grammar:\n{wanted.definition}"
    return f"{tool.description}\n\n{grammar}" if tool.description else grammar


def _joined(namespace: str | None, name: str) -> str:
    if namespace is None:
        return name
    return namespace + name if namespace.endswith("__") else f"{namespace}__{name}"


def _write(tool: chat.Tool) -> dict[str, Any]:
    raw: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        raw["description"] = tool.description
    raw["parameters"] = tool.schema or _ANYTHING
    raw["strict"] = bool(tool.strict) and qualifies(tool.schema)
    return raw
