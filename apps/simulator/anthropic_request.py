"""A strict reading of a Messages request: what Anthropic refuses with 400 is refused here, in similar words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from apps.simulator import anthropic_messages as messages
from apps.simulator.anthropic_messages import expect, refuse
from apps.simulator.ask import Ask, Object, Tool

# fmt: off
FIELDS = {
    "model", "messages", "max_tokens", "system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools",
    "tool_choice", "thinking", "metadata", "service_tier", "output_config", "cache_control", "container",
    "inference_geo", "diagnostics",
}
# fmt: on
TOOL_FIELDS = {"name", "type", "description", "input_schema", "cache_control", "strict", "defer_loading"}
TOOL_FIELDS |= {"eager_input_streaming", "input_examples", "allowed_callers"}
SERVER_TOOL = re.compile(r".+_\d{8}$")  # web_search_20250305 and its kind have no input schema
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_OMITTING = re.compile(r"claude-(?:opus-4-[7-9]|(?:opus|sonnet|haiku|fable)-[5-9])(?!\d)")


def read(body: bytes, *, headers: Mapping[bytes, bytes], lenient: bool = False, counting: bool = False) -> Ask:
    """Raises Refused. Unknown fields pass with an `anthropic-beta` header: betas bring their own."""
    document = whole_document(body)
    if b"anthropic-version" not in headers:
        refuse("anthropic-version: header is required")
    model = expect(document, "model", str, required=True)
    if not (lenient or b"anthropic-beta" in headers):
        check_fields(document, fields=FIELDS)
    stream = expect(document, "stream", bool) is True
    return understand(document, model=model, stream=stream, counting=counting)


def check_fields(document: Object, *, fields: set[str]) -> None:
    unknown = sorted(document.keys() - fields)
    if unknown:
        refuse(f"{unknown[0]}: Extra inputs are not permitted")


def understand(document: Object, *, model: str, stream: bool, counting: bool = False) -> Ask:
    """What is asked, whichever way the model and the wish for a stream were told. Raises Refused."""
    cap = _cap(document, counting=counting)
    _check_sampling(document)
    tools, texts = _tools(document)
    chosen, named, parallel = choice(document, tools=tools)
    thinking = mode(document, cap=cap, forced=chosen == "any")
    talk = messages.read(document, signed_thinking_leads=thinking == "enabled")
    return Ask(
        model=model,
        stream=stream,
        cap=cap,
        stops=_stops(document),
        **talk.fields(*texts),
        tools=tools,
        choice=chosen,
        named=named,
        parallel=parallel,
        thinking=display(document, thinking=thinking, model=model),
        schema=_schema(document),
        call_prefix="toolu_01",
        speaks_first=True,
    )


def whole_document(body: bytes) -> Object:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"The request body is not valid JSON: {error}")
    if not isinstance(document, dict):
        refuse("Input should be a valid dictionary")
    return document


def _cap(document: Object, *, counting: bool) -> int | None:
    cap: int | None = expect(document, "max_tokens", int, required=not counting)
    if cap is not None and cap < 1:
        refuse("max_tokens: Input should be greater than or equal to 1")
    return cap


def _check_sampling(document: Object) -> None:
    for name in ("temperature", "top_p"):
        number = expect(document, name, float)
        if number is not None and not 0 <= number <= 1:
            refuse(f"{name}: Input should be between 0 and 1")
    expect(document, "top_k", int)
    expect(document, "service_tier", str)
    metadata = expect(document, "metadata", dict) or {}
    if metadata.keys() - {"user_id"}:
        refuse(f"metadata.{min(metadata.keys() - {'user_id'})}: Extra inputs are not permitted")


def _stops(document: Object) -> tuple[str, ...]:
    stops = expect(document, "stop_sequences", list) or []
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            refuse(f"stop_sequences.{index}: Input should be a valid string")
        if not stop.strip():
            refuse("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(stops)


def _tools(document: Object) -> tuple[tuple[Tool, ...], list[str]]:
    """The tools the simulator can call, and the text of all definitions."""
    definitions = expect(document, "tools", list) or []
    tools = [_tool(definition, at=f"tools.{index}") for index, definition in enumerate(definitions)]
    names = [definition["name"] for definition in definitions]
    if len(set(names)) < len(names):
        refuse("tools: Tool names must be unique.")
    return tuple(filter(None, tools)), [msgspec.json.encode(definition).decode() for definition in definitions]


def _tool(definition: Any, *, at: str) -> Tool | None:  # Any: nothing is known of it yet
    """None: a tool that runs at the vendor."""
    if not isinstance(definition, dict):
        refuse(f"{at}: Input should be a valid dictionary")
    name = expect(definition, "name", str, at=f"{at}.", required=True)
    if SERVER_TOOL.fullmatch(str(definition.get("type"))):
        return None
    at += ".custom"
    if not TOOL_NAME.fullmatch(name):
        refuse(f"{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    unknown = definition.keys() - TOOL_FIELDS
    if unknown:
        refuse(f"{at}.{min(unknown)}: Extra inputs are not permitted")
    schema = expect(definition, "input_schema", dict, at=f"{at}.", required=True)
    if schema.get("type") != "object":
        refuse(f"{at}.input_schema.type: Input should be 'object'")
    if schema.keys() & {"oneOf", "anyOf", "allOf"}:
        refuse(f"{at}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
    return Tool(name, schema)


def choice(document: Object, *, tools: tuple[Tool, ...]) -> tuple[Literal["auto", "any", "none"], str | None, bool]:
    given = expect(document, "tool_choice", dict)
    if given is None:
        return "auto", None, True
    if not document.get("tools"):
        refuse("tool_choice: tool_choice may only be specified while providing tools")
    parallel = not given.get("disable_parallel_tool_use", False)
    kind = given.get("type")
    if kind == "tool":
        name = expect(given, "name", str, at="tool_choice.", required=True)
        if name not in {tool.name for tool in tools}:
            refuse(f"Tool '{name}' not found in provided tools")
        return "any", name, parallel
    if kind in ("auto", "any", "none"):
        return kind, None, parallel
    refuse(f"tool_choice: Input tag '{kind}' does not match any of the expected tags: 'any', 'auto', 'none', 'tool'")


def mode(document: Object, *, cap: int | None, forced: bool) -> str:
    """Of thinking: enabled, adaptive or disabled."""
    given = expect(document, "thinking", dict)
    if given is None:
        return "disabled"
    kind = given.get("type")
    if kind not in ("enabled", "adaptive", "disabled"):
        refuse(
            f"thinking: Input tag '{kind}' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'"
        )
    if kind == "enabled":
        budget = expect(given, "budget_tokens", int, at="thinking.enabled.", required=True)
        if budget < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if cap is not None and budget >= cap:
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if forced:
            refuse("Thinking may not be enabled when tool_choice forces tool use.")
        if document.get("temperature", 1) != 1:
            refuse("`temperature` may only be set to 1 when thinking is enabled.")
    return str(kind)


def display(document: Object, *, thinking: str, model: str = "") -> Literal["off", "shown", "omitted"]:
    """Newer models show what they think only when asked."""
    if thinking == "disabled":
        return "off"
    unasked = "omitted" if _OMITTING.search(model) else "summarized"
    return "omitted" if (document["thinking"].get("display") or unasked) == "omitted" else "shown"


def _schema(document: Object) -> Object | None:
    config = expect(document, "output_config", dict) or {}
    unknown = config.keys() - {"format", "effort", "task_budget"}
    if unknown:
        refuse(f"output_config.{min(unknown)}: Extra inputs are not permitted")
    effort = expect(config, "effort", str, at="output_config.")
    if effort not in (None, "low", "medium", "high", "xhigh", "max"):
        refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    form: Any = config.get("format") or document.get("output_format")  # the older beta's place
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        refuse("output_config.format.type: Input should be 'json_schema'")
    schema: Object = expect(form, "schema", dict, at="output_config.format.", required=True)
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        refuse("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false")
    return schema
