"""The request: a client's body to the canonical form, and the canonical form to an upstream's body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from apps.domain.chat import ChatRequest, Format, Reasoning
from apps.domain.errors import Unfit
from apps.domain.protocols import splice
from apps.domain.protocols.contract import ClientCall, Target
from apps.domain.protocols.openai_chat import reasoning
from apps.domain.protocols.openai_chat.request import identifier, qualifies, read_rest
from apps.domain.protocols.openai_responses import items, tools, validation, wire, words

NAME = "openai_responses"

LEAST_CAP = 16
"""OpenAI refuses a smaller `max_output_tokens`."""


class Wire(msgspec.Struct, frozen=True):
    """One reading of a body, twice: where its members lie (to edit it), and what they mean."""

    members: splice.Members
    body: wire.Body


def read_request(body: bytes) -> ClientCall:
    """Raises InvalidRequest, naming the field."""
    members = splice.read(body)
    splice.refuse_other_case(members, words.FIELDS)
    request = validation.body(body)
    return ClientCall(
        protocol=NAME,
        body=body,
        wire=Wire(members, request),
        model=request.model,
        stream=request.stream is True,
        max_tokens=request.max_output_tokens,
        user=request.safety_identifier or request.user,
        fields=members.values,
    )


def to_chat(call: ClientCall) -> ChatRequest:
    """For an upstream of another dialect. Raises InvalidRequest for what no other dialect can do."""
    body: wire.Body = call.wire.body
    if body.prompt is not None:
        raise validation.unsupported("prompt", reason="a stored prompt lies at OpenAI; send its text as 'input'.")
    validation.check_narrow(body, call.fields)
    validation.check_ranges(body)
    validation.check_logprobs(logprobs=True, top_logprobs=body.top_logprobs)
    table = tools.Table(body)
    system, turns = items.read(body, table)
    offered = tools.read(body, table)
    choice = tools.read_choice(body.tool_choice, table)
    if isinstance(body.tool_choice, wire.ToolChoice) and body.tool_choice.type == "allowed_tools":
        offered = tools.allowed(offered, body.tool_choice, table)
    return ChatRequest(
        model=call.model,
        system=system,
        messages=turns,
        tools=offered,
        tool_choice=choice if offered else None,
        parallel_tools=body.parallel_tool_calls,
        max_tokens=call.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stream=call.stream,
        reasoning=_read_reasoning(body.reasoning),
        format=_read_format(body.text.format if body.text else None),
        user=call.user,
        rest=_read_rest(call, body),
    )


def _read_rest(call: ClientCall, body: wire.Body) -> dict[str, Any]:
    """What goes on as it was written; `include` is what is left of it that only OpenAI could include."""
    rest = read_rest(call.fields, words.SHARED)
    included = {*(body.include or ())}
    if words.LOGPROBS in included:
        rest["logprobs"] = True
    if included - {words.LOGPROBS, words.ENCRYPTED}:
        rest["include"] = sorted(included)
    if body.text and body.text.verbosity:
        rest["verbosity"] = body.text.verbosity
    return rest


def write(chat: ChatRequest, target: Target) -> dict[str, Any]:
    """The upstream's body: it keeps nothing. Raises InvalidRequest for what the dialect cannot say."""
    if any(text.strip() for text in chat.stop):
        raise Unfit("stop", "this model takes no stop sequences")
    body: dict[str, Any] = {
        "model": target.model,
        "input": items.write(chat.messages, quirks=target.quirks),
        "store": False,
    }
    if system := items.instructions(chat.system):
        body["instructions"] = system
    # A cap above the model's own is refused by OpenAI.
    max_tokens = min((count for count in (chat.max_tokens, target.max_output_tokens) if count), default=None)
    if max_tokens:
        body["max_output_tokens"] = max(max_tokens, LEAST_CAP)
    if chat.stream:
        body["stream"] = True
    if "no_sampling" not in target.capabilities:
        body |= {name: value for name in ("temperature", "top_p") if (value := getattr(chat, name)) is not None}
    body |= tools.write(chat)
    body |= _write_reasoning(chat, target, max_tokens=max_tokens or 0)
    if wanted := _write_format(chat.format):
        body["text"] = {"format": wanted}
        _mention(body)
    _write_rest(body, chat.rest, target)
    if chat.user and "safety_identifier" in target.quirks:
        body["safety_identifier"] = identifier(chat.user)
    return body


def _write_rest(body: dict[str, Any], rest: Mapping[str, Any], target: Target) -> None:
    if "logprobs" in rest:
        body.setdefault("include", []).append(words.LOGPROBS)
        body |= {name: rest[name] for name in ("top_logprobs",) if name in rest}
    if "openai_fields" in target.quirks:
        body |= {name: rest[name] for name in words.OPENAIS if name in rest}
        if "verbosity" in rest:
            body.setdefault("text", {})["verbosity"] = rest["verbosity"]


def _mention(body: dict[str, Any]) -> None:
    """Who wants any JSON object has to say so in the input; OpenAI does not look for the word in the instructions."""
    wanted, said = body["text"]["format"]["type"], msgspec.json.encode(body["input"]).lower()
    if wanted == "json_object" and b"json" not in said:
        body["input"].insert(0, {"role": "developer", "content": "Answer with a single JSON object."})


def _read_reasoning(wanted: wire.Reasoning | None) -> Reasoning:
    return reasoning.read(wanted.effort if wanted else None, param="reasoning.effort")


def _write_reasoning(chat: ChatRequest, target: Target, *, max_tokens: int) -> dict[str, Any]:
    """Who asked to see the thinking gets its summary. It comes encrypted too, so that it can be given back."""
    effort = reasoning.write(
        chat.reasoning, max_tokens=max_tokens, capabilities=target.capabilities, quirks=target.quirks
    )
    fields: dict[str, Any] = {}
    if effort is not None:
        fields["reasoning"] = {"effort": effort}
        shown = chat.reasoning.mode in ("enabled", "adaptive") and chat.reasoning.display != "omitted"
        if shown and "no_reasoning_summary" not in target.quirks:
            fields["reasoning"]["summary"] = "auto"
    if effort not in (None, "none") or any("thinking" in capability for capability in target.capabilities):
        fields["include"] = [words.ENCRYPTED]
    return fields


def _read_format(wanted: wire.TextFormat | None) -> Format | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return Format()
    if wanted.type != "json_schema":
        supported = "'json_object', 'json_schema', and 'text'"
        raise validation.wrong_value("text.format.type", value=wanted.type, supported=supported)
    if wanted.schema is None:
        raise validation.missing("text.format.schema")
    return Format(wanted.schema, name=wanted.name, strict=wanted.strict)


def _write_format(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    strict = wanted.strict is not False and qualifies(wanted.schema)
    return {"type": "json_schema", "name": wanted.name or "response", "schema": wanted.schema, "strict": strict}
