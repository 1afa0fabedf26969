"""The request: a client's body to the canonical form, and the canonical form to an upstream's body."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from apps.domain.chat import ChatRequest, Format, Tool, ToolChoice
from apps.domain.errors import InvalidRequest
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall, Target
from apps.domain.protocols.openai_chat import messages, reasoning, validation, wire, words

NAME = "openai_chat"

_MODES = {"auto": "auto", "none": "none", "required": "any"}
_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_IDENTIFIER_LENGTH = 64
_MOST_STOPS = 4
_NOTHING = (msgspec.Raw(b"null"), msgspec.Raw(b"false"))
_ANYTHING = {"type": "object", "properties": {}}


class Wire(msgspec.Struct, frozen=True):
    """One reading of a body, twice: where its members lie (to edit it), and what they mean."""

    members: splice.Members
    body: wire.Body


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest, naming the field."""
    members = splice.read(body)
    splice.refuse_other_case(members, words.FIELDS)
    request = validation.body(body)
    options = request.stream_options
    if options is not None:
        splice.read(members.raw("stream_options") or b"", at="stream_options")
    return ClientCall(
        protocol=NAME,
        body=body,
        wire=Wire(members, request),
        model=request.model,
        stream=request.stream is True,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        wants_usage=options is not None and options.include_usage is True,
        user=request.safety_identifier or request.user,
        fields=members.values,
    )


def to_chat(call: ClientCall) -> ChatRequest:
    """For an upstream of another dialect. Raises InvalidRequest for what no other dialect can do."""
    body: wire.Body = call.wire.body
    if call.choices > 1:
        raise validation.unsupported("n", reason="this model gives one choice per request.")
    if body.audio is not None or "audio" in (body.modalities or ()):
        raise validation.unsupported(
            "audio" if body.audio is not None else "modalities", reason="this model does not speak."
        )
    validation.check_ranges(body)
    validation.check_narrow(call.fields)
    validation.check_logprobs(logprobs=body.logprobs, top_logprobs=body.top_logprobs)
    system, turns = messages.read(body.messages)
    tools = _read_tools(body)
    choice = _read_choice(body)
    if tools and choice is not None and choice.mode == "tool":
        param = "function_call" if body.tool_choice is None else "tool_choice"
        validation.check_choice(choice.name, [tool.name for tool in tools], param=param)
    if isinstance(body.tool_choice, wire.ToolChoice) and body.tool_choice.allowed_tools:
        tools = _allowed(tools, body.tool_choice.allowed_tools)
    return ChatRequest(
        model=call.model,
        system=system,
        messages=turns,
        tools=tools,
        tool_choice=choice if tools else None,
        parallel_tools=False if body.functions else body.parallel_tool_calls,  # a function_call holds one call only
        max_tokens=call.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=read_stop(body.stop),
        stream=call.stream,
        reasoning=reasoning.read(body.reasoning_effort),
        format=_read_format(body.response_format),
        user=call.user,
        rest=read_rest(call.fields, words.SAID),
    )


def read_stop(given: str | list[str] | None) -> tuple[str, ...]:
    """Raises InvalidRequest for more than OpenAI takes."""
    stop = (given,) if isinstance(given, str) else tuple(given or ())
    if len(stop) > _MOST_STOPS:
        message = f"Invalid 'stop': array too long. Expected a maximum length of {_MOST_STOPS}, but got {len(stop)}."
        raise InvalidRequest(message, param="stop", code="array_above_max_length")
    return stop


def read_rest(fields: Mapping[str, msgspec.Raw], names: Iterable[str]) -> dict[str, Any]:
    """What goes on as it was written."""
    return {name: fields[name] for name in names if name in fields and fields[name] not in _NOTHING}


def write(chat: ChatRequest, target: Target) -> dict[str, Any]:
    """The upstream's body. Raises InvalidRequest for content that the dialect cannot carry."""
    quirks = target.quirks
    cap = "max_completion_tokens" if "max_completion_tokens" in quirks else "max_tokens"
    body: dict[str, Any] = {
        "model": target.model,
        "messages": messages.write(chat.system, chat.messages, target=target),
    }
    # A cap above the model's own is refused by OpenAI.
    max_tokens = min((count for count in (chat.max_tokens, target.max_output_tokens) if count), default=None)
    if max_tokens:
        body[cap] = max_tokens
    if chat.stream:
        body["stream"] = True
        if "no_stream_usage" not in quirks:
            body["stream_options"] = {"include_usage": True}
    if "no_sampling" not in target.capabilities:
        body |= _present({"temperature": chat.temperature, "top_p": chat.top_p})
    if chat.stop:
        body["stop"] = list(chat.stop)
    body |= _write_tools(chat, quirks=quirks)
    body |= _present({"response_format": _write_format(chat.format)})
    body |= _write_reasoning(chat, target, max_tokens=max_tokens or 0)
    if chat.user and "safety_identifier" in quirks:
        body["safety_identifier"] = identifier(chat.user)
    taken = words.REST if "openai_fields" in quirks else words.PLAIN
    body |= {name: chat.rest[name] for name in taken if name in chat.rest}
    if "logprobs" not in body:
        body.pop("top_logprobs", None)
    return body


def _write_reasoning(chat: ChatRequest, target: Target, *, max_tokens: int) -> dict[str, Any]:
    if "thinking_switch" in target.quirks:
        return _present({"thinking": reasoning.switch(chat.reasoning)})
    effort = reasoning.write(
        chat.reasoning, max_tokens=max_tokens, capabilities=target.capabilities, quirks=target.quirks
    )
    return _present({"reasoning_effort": effort})


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _read_tools(body: wire.Body) -> tuple[Tool, ...]:
    """Raises InvalidRequest, naming the tool."""
    tools: dict[str, Tool] = {}
    for position, tool in enumerate(body.tools or ()):
        if tool.type != "function":
            raise validation.wrong_value(f"tools[{position}].type", value=tool.type, supported="'function'")
        if tool.function is None:
            raise validation.missing(f"tools[{position}].function")
        _add(tools, tool.function, cache=tool.cache_control, at=f"tools[{position}].function")
    for position, function in enumerate(body.functions or ()):
        _add(tools, function, at=f"functions[{position}]")
    return tuple(tools.values())


def _add(tools: dict[str, Tool], function: wire.Function, *, cache: dict[str, Any] | None = None, at: str) -> None:
    if function.name in tools:
        message = f"Invalid '{at}.name': '{function.name}' is the name of another tool already."
        raise InvalidRequest(message, param=f"{at}.name", code="invalid_value")
    check_schema(function.parameters, name=function.name, at=f"{at}.parameters")
    tools[function.name] = _read_function(function, cache=cache)


def check_schema(schema: dict[str, Any] | None, *, name: str, at: str) -> None:
    """Arguments are an object at every vendor."""
    kind = (schema or {}).get("type", "object")
    if kind != "object":
        message = f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
        raise InvalidRequest(message, param=at, code="invalid_function_parameters")


def _read_function(function: wire.Function, *, cache: dict[str, Any] | None) -> Tool:
    schema = function.parameters or _ANYTHING
    return Tool(function.name, function.description, schema, strict=function.strict, cache_control=cache)


def _read_choice(body: wire.Body) -> ToolChoice | None:
    choice = body.tool_choice
    if choice is None:
        return _read_mode(body.function_call, param="function_call")
    if isinstance(choice, str):
        return _read_mode(choice, param="tool_choice")
    if choice.allowed_tools:
        return ToolChoice("any" if choice.allowed_tools.mode == "required" else "auto")
    if choice.function is None:
        raise validation.missing("tool_choice.function")
    return ToolChoice("tool", choice.function.name)


def _read_mode(choice: str | wire.Named | None, *, param: str) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case wire.Named(name=name):
            return ToolChoice("tool", name)
        case "auto" | "none":
            return ToolChoice(choice)
        case "required":
            return ToolChoice("any")
    raise validation.wrong_value(param, value=choice, supported="'none', 'auto', and 'required'")


def _allowed(tools: tuple[Tool, ...], allowed: wire.AllowedTools) -> tuple[Tool, ...]:
    names = {tool.function.name for tool in allowed.tools if tool.function}
    for name in sorted(names):
        validation.check_choice(name, [tool.name for tool in tools], param="tool_choice")
    return tuple(tool for tool in tools if tool.name in names)


def _read_format(wanted: wire.ResponseFormat | None) -> Format | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Format()
    if wanted.type != "json_schema":
        supported = "'json_object', 'json_schema', and 'text'"
        raise validation.wrong_value("response_format.type", value=wanted.type, supported=supported)
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise validation.missing("response_format.json_schema" + (".schema" if wanted.json_schema else ""))
    return Format(wanted.json_schema.schema, name=wanted.json_schema.name, strict=wanted.json_schema.strict)


def _write_tools(chat: ChatRequest, *, quirks: frozenset[str]) -> dict[str, Any]:
    """Another vendor's server tools are left out: nobody here could run them."""
    tools = [_write_tool(tool) for tool in chat.tools if tool.raw is None]
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": tools}
    names = {tool["function"]["name"] for tool in tools}
    if chat.tool_choice and chat.tool_choice.mode == "tool":
        if chat.tool_choice.name in names:
            fields["tool_choice"] = {"type": "function", "function": {"name": chat.tool_choice.name}}
    elif chat.tool_choice:
        fields["tool_choice"] = _CHOICES[chat.tool_choice.mode]
    if chat.parallel_tools is not None and "no_parallel_tool_calls" not in quirks:
        fields["parallel_tool_calls"] = chat.parallel_tools
    if chat.stream and "tool_stream" in quirks:
        fields["tool_stream"] = True
    return fields


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.schema
    if tool.strict and qualifies(tool.schema):
        function["strict"] = True
    return {"type": "function", "function": function}


def qualifies(schema: Any) -> bool:
    """Whether `strict` accepts the schema: every object closed, and all its properties required."""
    if isinstance(schema, list):
        return all(map(qualifies, schema))
    if not isinstance(schema, dict):
        return True
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if schema.get("additionalProperties") is not False:
            return False
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        if sorted(properties) != sorted(map(str, required)) or not all(map(qualifies, properties.values())):
            return False
    return all(qualifies(value) for key, value in schema.items() if key not in ("properties", "const", "enum"))


def _write_format(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    described: dict[str, Any] = {"name": wanted.name or "response", "schema": wanted.schema}
    if wanted.strict is not False and qualifies(wanted.schema):
        described["strict"] = True
    return {"type": "json_schema", "json_schema": described}


def identifier(user: str) -> str:
    return user if len(user) <= _IDENTIFIER_LENGTH else hashlib.sha256(user.encode()).hexdigest()
