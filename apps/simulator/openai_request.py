"""A strict reading of a Chat Completions request: what OpenAI refuses with 400 is refused here, in similar words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from apps.simulator import openai_messages as messages
from apps.simulator.ask import Ask, Object, Tool
from apps.simulator.openai_messages import expect, refuse

# fmt: off
FIELDS = {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p",
    "n", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "user",
    "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "metadata",
    "modalities", "audio", "prediction", "service_tier", "store", "verbosity", "web_search_options", "functions",
    "function_call", "moderation",
}
# fmt: on
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REASONING_MODEL = re.compile(r"(o\d|gpt-5)(?!\d)")
RANGES = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}


def read(body: bytes, *, headers: Mapping[bytes, bytes], lenient: bool = False) -> Ask:
    """Raises Refused."""
    document = whole_document(body)
    if not isinstance(document.get("model"), str):
        refuse("you must provide a model parameter")
    unknown = sorted(document.keys() - FIELDS)
    if unknown and not lenient:
        refuse(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    stream = expect(document, "stream", bool) is True
    _check_sampling(document)
    tools, texts = _tools(document)
    choice, named = _choice(document, tools=tools)
    talk = messages.read(document)
    return Ask(
        model=document["model"],
        stream=stream,
        cap=_cap(document),
        stops=read_stops(document),
        **talk.fields(*texts),
        tools=tools,
        choice=choice,
        named=named,
        parallel=_parallel(document),
        thinking="shown" if _effort(document) not in (None, "none") else "off",
        schema=_schema(document, texts=talk.texts),
        copies=_copies(document),
        include_usage=include_usage(document, stream=stream),
        asked=document,
    )


def whole_document(body: bytes) -> Object:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"We could not parse the JSON body of your request: {error}")
    if not isinstance(document, dict):
        refuse("We could not parse the JSON body of your request: an object is expected.")
    return document


def _cap(document: Object) -> int | None:
    caps: dict[str, int | None] = {
        name: expect(document, name, int) for name in ("max_tokens", "max_completion_tokens")
    }
    if None not in caps.values():
        refuse(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    if caps["max_tokens"] is not None and REASONING_MODEL.match(document["model"]):
        refuse(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    for name, cap in caps.items():
        if cap is not None:
            check_range(name, cap, low=1, high=10**9)
            return cap
    return None


def _check_sampling(document: Object) -> None:
    for name, (low, high) in RANGES.items():
        number = expect(document, name, float)
        if number is not None:
            check_range(name, number, low=low, high=high)
    if expect(document, "metadata", dict) and document.get("store") is not True:
        refuse("The 'metadata' parameter is only allowed when 'store' is enabled.", param="metadata")
    if expect(document, "top_logprobs", int) is not None and document.get("logprobs") is not True:
        refuse("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    expect(document, "seed", int)
    user = expect(document, "safety_identifier", str)
    if user is not None and len(user) > 64:
        refuse_length("safety_identifier", high=64, length=len(user), what="string")


def check_range(name: str, number: float, *, low: float, high: float) -> None:
    kind = "decimal" if name in RANGES else "integer"
    if number < low:
        refuse(
            f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {number} instead.",
            param=name,
            code=f"{kind}_below_min_value",
        )
    if number > high:
        refuse(
            f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {number} instead.",
            param=name,
            code=f"{kind}_above_max_value",
        )


def refuse_length(name: str, *, high: int, length: int, what: str) -> None:
    refuse(
        f"Invalid '{name}': {what} too long. Expected a maximum length of {high}, but got {length} instead.",
        param=name,
        code=f"{what}_above_max_length",
    )


def read_stops(document: Object) -> tuple[str, ...]:
    stop = document.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        refuse("Invalid type for 'stop': expected a string or an array of strings.", param="stop", code="invalid_type")
    if len(stops) > 4:
        refuse_length("stop", high=4, length=len(stops), what="array")
    return tuple(each for each in stops if each)


def _copies(document: Object) -> int:
    copies = expect(document, "n", int)
    if copies is None:
        return 1
    check_range("n", copies, low=1, high=128)
    return int(copies)


def _tools(document: Object) -> tuple[tuple[Tool, ...], list[str]]:
    definitions = expect(document, "tools", list)
    if definitions == []:
        refuse(
            "Invalid 'tools': empty array. Expected an array with minimum length 1.", param="tools", code="empty_array"
        )
    tools = []
    for index, definition in enumerate(definitions or []):
        at = f"tools[{index}]"
        if not isinstance(definition, dict) or definition.get("type") != "function":
            refuse(f"Invalid value for '{at}.type'. Supported values are: 'function'.", param=f"{at}.type")
        unknown = definition.keys() - {"type", "function"}
        if unknown:
            refuse(f"Unknown parameter: '{at}.{min(unknown)}'.", param=f"{at}.{min(unknown)}", code="unknown_parameter")
        function = expect(definition, "function", dict, at=f"{at}.", required=True)
        unknown = function.keys() - {"name", "description", "parameters", "strict"}
        if unknown:
            at += f".function.{min(unknown)}"
            refuse(f"Unknown parameter: '{at}'.", param=at, code="unknown_parameter")
        tools.append(_tool(function, at=f"{at}.function."))
    return tuple(tools), [msgspec.json.encode(definition).decode() for definition in definitions or []]


def _tool(function: Object, *, at: str) -> Tool:
    name = expect(function, "name", str, at=at, required=True)
    if not TOOL_NAME.fullmatch(name):
        refuse(
            f"Invalid '{at}name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            param=f"{at}name",
            code="invalid_value",
        )
    parameters = expect(function, "parameters", dict, at=at) or {"type": "object", "properties": {}}
    if parameters.get("type") != "object":
        refuse_schema(
            f"function '{name}'", "schema must be a JSON Schema of 'type: \"object\"'", param=f"{at}parameters"
        )
    if expect(function, "strict", bool, at=at):
        check_strict(parameters, of=f"function '{name}'", param=f"{at}parameters")
    return Tool(name, parameters)


def check_strict(schema: Any, *, of: str, param: str) -> None:  # Any: a part of a JSON schema
    if isinstance(schema, list):
        for part in schema:
            check_strict(part, of=of, param=param)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            refuse_schema(of, "'additionalProperties' is required to be supplied and to be false", param=param)
        if set(schema.get("required", [])) != set(schema.get("properties", {})):
            refuse_schema(of, "'required' is required to be supplied and to hold every key in properties", param=param)
    for part in schema.values():
        check_strict(part, of=of, param=param)


def refuse_schema(of: str, why: str, *, param: str) -> None:
    refuse(f"Invalid schema for {of}: In context=(), {why}.", param=param, code="invalid_function_parameters")


def _choice(document: Object, *, tools: tuple[Tool, ...]) -> tuple[Literal["auto", "any", "none"], str | None]:
    given = document.get("tool_choice")
    if given is None:
        return "auto", None
    if not tools:
        refuse(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )
    if given in ("auto", "none"):
        return given, None
    if given == "required":
        return "any", None
    if isinstance(given, dict) and given.get("type") == "function":
        name = expect(given.get("function") or {}, "name", str, at="tool_choice.function.", required=True)
        if name not in {tool.name for tool in tools}:
            refuse(f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
        return "any", name
    if isinstance(given, dict) and given.get("type") == "allowed_tools":
        return ("any" if (given.get("allowed_tools") or {}).get("mode") == "required" else "auto"), None
    refuse(f"Invalid value: '{given}'. Supported values are: 'none', 'auto', and 'required'.", param="tool_choice")


def _parallel(document: Object) -> bool:
    parallel = expect(document, "parallel_tool_calls", bool)
    if parallel is not None and not document.get("tools"):
        refuse(
            "Invalid value: 'parallel_tool_calls' is only allowed when 'tools' are specified.",
            param="parallel_tool_calls",
        )
    return parallel is not False


def _effort(document: Object) -> str | None:
    effort: str | None = expect(document, "reasoning_effort", str)
    if effort is not None and effort not in EFFORTS:
        refuse(f"Invalid value: '{effort}'.", param="reasoning_effort", code="invalid_value")
    return effort


def _schema(document: Object, *, texts: list[str]) -> Object | None:
    form = expect(document, "response_format", dict)
    if form is None or form.get("type") == "text":
        return None
    if form.get("type") == "json_object":
        if not any("json" in text.lower() for text in texts):
            refuse(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                param="messages",
            )
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if form.get("type") != "json_schema":
        refuse(f"Invalid value: '{form.get('type')}'.", param="response_format.type", code="invalid_value")
    at = "response_format.json_schema"
    wanted = expect(form, "json_schema", dict, at="response_format.", required=True)
    name = expect(wanted, "name", str, at=f"{at}.", required=True)
    schema: Object = expect(wanted, "schema", dict, at=f"{at}.", required=True)
    if expect(wanted, "strict", bool, at=f"{at}."):
        check_strict(schema, of=f"response_format '{name}'", param="response_format")
    return schema


def include_usage(document: Object, *, stream: bool) -> bool:
    options = expect(document, "stream_options", dict)
    if options is None:
        return not stream
    if not stream:
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    return options.get("include_usage") is True
