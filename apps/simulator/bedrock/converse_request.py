"""A strict reading of Converse: first the service's own model of the request, then what its models refuse."""

from __future__ import annotations

from typing import Literal, NoReturn

import msgspec

from apps.simulator import anthropic_request
from apps.simulator.ask import Ask, Object, Refused, Tool
from apps.simulator.bedrock import converse_messages as messages
from apps.simulator.bedrock import service
from apps.simulator.bedrock.service import Model, refuse
from apps.simulator.dialect import Request

ELSEWHERE = frozenset({"modelId"})  # in the path
CLAUDE_FIELDS = {"thinking", "reasoning_config", "top_k", "anthropic_beta", "output_config", "tool_choice"}
NOVA_FIELDS = {"inferenceConfig", "reasoningConfig"}
OTHER_FIELDS = {"top_k", "k", "reasoning_effort", "seed", "frequency_penalty", "presence_penalty", "safety_identifier"}


def read(request: Request, *, lenient: bool = False) -> Ask:
    """Raises Refused."""
    model = service.model(request)
    if model.embeds:
        refuse(
            "This action doesn't support the model that you provided. Try again with a supported text or chat model."
        )
    document = service.document(request.body)
    return understand(document, model=model, stream=service.head(request).stream, lenient=lenient)


def understand(document: Object, *, model: Model, stream: bool, lenient: bool = False) -> Ask:
    from apps.simulator.bedrock import shapes  # botocore's model is large, and few callers come here

    shapes.check(document, shape="ConverseRequest", ignored=ELSEWHERE, lenient=lenient)
    talk = messages.read(document, model=model)
    tools, texts = _tools(document)
    choice, named, parallel = _choice(document, tools=tools, model=model)
    inference: Object = document.get("inferenceConfig") or {}
    stops = inference.get("stopSequences") or []
    if any(not stop.strip() for stop in stops):
        refuse("The stopSequences field in inferenceConfig has a blank sequence. Remove it, and try again.")
    return Ask(
        model=model.id,
        stream=stream,
        cap=inference.get("maxTokens"),
        stops=tuple(stops),
        **talk.fields(*texts),
        tools=tools,
        choice=choice,
        named=named,
        parallel=parallel,
        thinking=_thinking(document, model=model, forced=choice == "any", lenient=lenient),
        schema=_schema(document),
        call_prefix="tooluse_",
        speaks_first=model.is_claude,
        asked=document,
    )


def _tools(document: Object) -> tuple[tuple[Tool, ...], list[str]]:
    """The tools and the text of all definitions."""
    given = (document.get("toolConfig") or {}).get("tools") or []
    specifications = [tool["toolSpec"] for tool in given if "toolSpec" in tool]
    tools = []
    for index, each in enumerate(specifications):
        schema = each["inputSchema"]["json"]
        if not isinstance(schema, dict) or schema.get("type") != "object":
            refuse(
                f"The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: "
                "object."
            )
        tools.append(Tool(each["name"], schema))
    if len({tool.name for tool in tools}) < len(tools):
        refuse("The tool config contains duplicate tool names. Use unique names and try again.")
    return tuple(tools), [msgspec.json.encode(tool).decode() for tool in specifications]


Choice = tuple[Literal["auto", "any", "none"], str | None, bool]


def _choice(document: Object, *, tools: tuple[Tool, ...], model: Model) -> Choice:
    """Converse's, or Claude's own among the fields beside it; it is refused in both places at once."""
    given: Object | None = (document.get("toolConfig") or {}).get("toolChoice")
    fields = document.get("additionalModelRequestFields")
    own = fields.get("tool_choice") if model.is_claude and isinstance(fields, dict) else None
    if own is not None:
        if not tools or given is not None:
            _from_model("tool_choice: Extra inputs are not permitted")
        try:
            return anthropic_request.choice({"tool_choice": own, "tools": tools}, tools=tools)
        except Refused as error:
            _from_model(error.message)
    given = given or {"auto": {}}
    if "tool" in given:
        name = given["tool"]["name"]
        if name not in {tool.name for tool in tools}:
            refuse(f"The tool {name!r} of toolConfig.toolChoice is not among toolConfig.tools.")
        return "any", name, True
    return ("any" if "any" in given else "auto"), None, True


def _thinking(document: Object, *, model: Model, forced: bool, lenient: bool) -> Literal["off", "shown", "omitted"]:
    extra = document.get("additionalModelRequestFields") or {}
    if not isinstance(extra, dict):
        refuse("additionalModelRequestFields: expected an object.")
    allowed = CLAUDE_FIELDS if model.is_claude else NOVA_FIELDS if model.family == "amazon" else OTHER_FIELDS
    unknown = sorted(extra.keys() - allowed)
    if unknown and not lenient:
        _from_model(
            f"{unknown[0]}: Extra inputs are not permitted"
            if model.is_claude
            else f"Malformed input request: #: extraneous key [{unknown[0]}] is not permitted, please reformat your "
            "input and try again."
        )
    if not model.is_claude:
        is_on = (extra.get("reasoningConfig") or {}).get("type") == "enabled"
        return "shown" if is_on or extra.get("reasoning_effort") else "off"
    inference: Object = document.get("inferenceConfig") or {}
    asked = {"thinking": extra.get("thinking") or extra.get("reasoning_config")}
    asked |= {"temperature": inference.get("temperature", 1)}
    try:
        mode = anthropic_request.mode(asked, cap=inference.get("maxTokens"), forced=forced)
    except Refused as error:
        _from_model(error.message)
    _check_thinking_leads(document, is_on=mode == "enabled")
    return anthropic_request.display(asked, thinking=mode)


def _check_thinking_leads(document: Object, *, is_on: bool) -> None:
    """Of the tool turn that is being continued: the thinking that led to its calls must come back with them."""
    turns = document["messages"]
    if not is_on or not any("toolResult" in block for block in turns[-1]["content"]):
        return
    first = next(iter(turns[-2]["content"][0]))
    if first != "reasoningContent":
        at = f"messages.{len(turns) - 2}.content.0.type"
        _from_model(f"{at}: Expected `thinking` or `redacted_thinking`, but found `{first}`.")


def _from_model(message: str) -> NoReturn:
    refuse(f"The model returned the following errors: {message}")


def _schema(document: Object) -> Object | None:
    """Of structured output; it comes as a text."""
    form: Object | None = (document.get("outputConfig") or {}).get("textFormat")
    if form is None:
        return None
    try:
        schema = msgspec.json.decode(form["structure"]["jsonSchema"]["schema"])
    except msgspec.DecodeError:
        refuse("outputConfig.textFormat.structure.jsonSchema.schema: not a JSON document")
    if not isinstance(schema, dict):
        refuse("outputConfig.textFormat.structure.jsonSchema.schema: not a JSON object")
    return schema
