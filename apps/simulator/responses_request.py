"""A strict reading of a Responses request: what OpenAI refuses with 400 is refused here, in similar words."""

from __future__ import annotations

import re
from typing import Literal

from apps.simulator import responses_items, responses_tools
from apps.simulator.ask import Ask, Object
from apps.simulator.openai_messages import expect, refuse
from apps.simulator.openai_request import EFFORTS, check_range, check_strict, refuse_length, whole_document

# fmt: off
FIELDS = {
    "model", "input", "instructions", "stream", "stream_options", "max_output_tokens", "max_tool_calls", "temperature",
    "top_p", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "include", "store",
    "metadata", "previous_response_id", "conversation", "prompt", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "service_tier", "truncation", "user", "background",
    "context_management", "moderation", "access_programs", "image",
    "client_metadata",  # documented nowhere; Codex 0.169 sends it with every call
}
COUNTED_FIELDS = {
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation",
    "conversation", "previous_response_id", "personality",
}
# fmt: on
INCLUDABLE = (
    *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs"),
    *("reasoning.encrypted_content", "message.output_text.logprobs"),
)
LEAST_OUTPUT = 16
WITHOUT_REASONING = re.compile(r"gpt-[34](?!\d)|chatgpt-")


def read(body: bytes, *, lenient: bool = False, counting: bool = False) -> Ask:
    """`counting`: the request asks only how long its prompt is. Raises Refused."""
    document = whole_document(body)
    model = expect(document, "model", str, required=not counting) or ""
    unknown = sorted(document.keys() - (COUNTED_FIELDS if counting else FIELDS))
    if unknown and not lenient:
        refuse(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    stream = expect(document, "stream", bool) is True
    _check_scalars(document, stream=stream)
    _check_state(document)
    chosen, definitions = responses_tools.read(document)
    talk = responses_items.read(document)
    instructions = expect(document, "instructions", str) or ""
    return Ask(
        model=model,
        stream=stream,
        cap=_cap(document),
        texts=(*([instructions] if instructions else []), *talk.texts, *definitions),
        messages=talk.count + bool(instructions),
        attachments=talk.attachments,
        said=talk.said,
        results=talk.results,
        tools=chosen.tools,
        choice=chosen.choice,
        named=chosen.named,
        parallel=expect(document, "parallel_tool_calls", bool) is not False,
        thinking=_thinking(document, model=model),
        schema=_schema(document, texts=talk.texts),
        asked=document,
    )


def _cap(document: Object) -> int | None:
    cap: int | None = expect(document, "max_output_tokens", int)
    if cap is not None:
        check_range("max_output_tokens", cap, low=LEAST_OUTPUT, high=10**9)
    return cap


def _check_scalars(document: Object, *, stream: bool) -> None:
    for name, high in {"temperature": 2, "top_p": 1}.items():
        number = expect(document, name, float)
        if number is not None:
            check_range(name, number, low=0, high=high)
    logprobs = expect(document, "top_logprobs", int)
    if logprobs is not None:
        check_range("top_logprobs", logprobs, low=0, high=20)
    for name in ("store", "background"):
        expect(document, name, bool)
    for name in ("user", "prompt_cache_key", "service_tier"):
        expect(document, name, str)
    user = expect(document, "safety_identifier", str)
    if user is not None and len(user) > 64:
        refuse_length("safety_identifier", high=64, length=len(user), what="string")
    for name in ("metadata", "client_metadata"):
        for key, value in (expect(document, name, dict) or {}).items():
            if not isinstance(value, str):
                path = f"{name}.{key}"
                refuse(f"Invalid type for '{path}': expected a string.", param=path, code="invalid_type")
    if document.get("truncation") not in (None, "auto", "disabled"):
        refuse("Invalid value. Supported values are: 'auto' and 'disabled'.", param="truncation", code="invalid_value")
    _check_stream_options(document, stream=stream)
    for index, item in enumerate(expect(document, "include", list) or []):
        if item not in INCLUDABLE:
            supported = ", ".join(f"'{each}'" for each in INCLUDABLE)
            message = f"Invalid value: '{item}'. Supported values are: {supported}."
            refuse(message, param=f"include[{index}]", code="invalid_value")


def _check_stream_options(document: Object, *, stream: bool) -> None:
    options = expect(document, "stream_options", dict)
    if options is None:
        return
    if not stream:
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    unknown = options.keys() - {"include_obfuscation"}
    if unknown:
        path = f"stream_options.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")


def _check_state(document: Object) -> None:
    """Nothing is stored here: whatever refers to an earlier answer refers to nothing."""
    before = expect(document, "previous_response_id", str)
    if before is not None:
        if not before.startswith("resp"):
            refuse(
                f"Invalid 'previous_response_id': '{before}'. Expected an ID that begins with 'resp'.",
                param="previous_response_id",
                code="invalid_value",
            )
        refuse(
            f"Previous response with id '{before}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if document.get("conversation") is not None:
        refuse("Conversation not found.", param="conversation", code="conversation_not_found")
    if document.get("prompt") is not None:
        refuse("Prompt not found.", param="prompt", code="prompt_not_found")


def _thinking(document: Object, *, model: str) -> Literal["off", "shown", "omitted"]:
    """OpenAI shows a summary of the reasoning to who asks for one, the reasoning itself to nobody."""
    reasoning = expect(document, "reasoning", dict) or {}
    unknown = reasoning.keys() - {"effort", "summary", "generate_summary", "mode", "context"}
    if unknown:
        path = f"reasoning.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    effort = expect(reasoning, "effort", str, at="reasoning.")
    summary = expect(reasoning, "summary", str, at="reasoning.")
    for name, value, supported in (
        ("effort", effort, EFFORTS),
        ("summary", summary, ("auto", "concise", "detailed")),
    ):
        if value is not None and value not in supported:
            told = ", ".join(f"'{each}'" for each in supported)
            message = f"Invalid value: '{value}'. Supported values are: {told}."
            refuse(message, param=f"reasoning.{name}", code="invalid_value")
    if WITHOUT_REASONING.match(model):
        for name, value in (("effort", effort), ("summary", summary)):
            if value is not None:
                path = f"reasoning.{name}"
                message = f"Unsupported parameter: '{path}' is not supported with this model."
                refuse(message, param=path, code="unsupported_parameter")
        if "reasoning.encrypted_content" in (document.get("include") or []):
            refuse("Encrypted content is not supported with this model.", param="include")
    if effort in (None, "none") and summary is None:
        return "off"
    return "omitted" if summary is None else "shown"


def _schema(document: Object, *, texts: list[str]) -> Object | None:
    text = expect(document, "text", dict) or {}
    unknown = text.keys() - {"format", "verbosity"}
    if unknown:
        refuse(f"Unknown parameter: 'text.{min(unknown)}'.", param=f"text.{min(unknown)}", code="unknown_parameter")
    if text.get("verbosity") not in (None, "low", "medium", "high"):
        supported = "'low', 'medium', and 'high'"
        message = f"Invalid value: '{text['verbosity']}'. Supported values are: {supported}."
        refuse(message, param="text.verbosity", code="invalid_value")
    form = expect(text, "format", dict, at="text.") or {"type": "text"}
    if form.get("type") == "text":
        return None
    if form.get("type") == "json_object":
        if not any("json" in each.lower() for each in texts):
            refuse(
                "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
                "'json_object'.",
                param="input",
            )
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if form.get("type") != "json_schema":
        message = (
            f"Invalid value: '{form.get('type')}'. Supported values are: 'json_object', 'json_schema', and 'text'."
        )
        refuse(message, param="text.format.type", code="invalid_value")
    unknown = form.keys() - {"type", "name", "description", "schema", "strict"}
    if unknown:
        path = f"text.format.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    name = expect(form, "name", str, at="text.format.", required=True)
    schema: Object = expect(form, "schema", dict, at="text.format.", required=True)
    if expect(form, "strict", bool, at="text.format."):
        check_strict(schema, of=f"response_format '{name}'", param="text.format.schema")
    return schema
