"""The answer that comes whole."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, estimate, floats
from apps.domain.chat import Block, ChatResponse, RedactedThinking, StopReason, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat.answer import is_object, read_likely, tier
from apps.domain.protocols.openai_responses import answer, error, names, tools, usage
from apps.domain.tokens import NOTHING


class Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: Any = None


class Item(msgspec.Struct):
    """One item of an output, of any type."""

    type: str = ""
    id: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class Details(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[Item] | None = None
    incomplete_details: Details | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Response, float_hook=floats.read).decode


def read_response(body: bytes) -> ChatResponse:
    """Raises UpstreamBroken for a garbled body, another UpstreamError for a response that failed."""
    read = decode(body)
    blocks: list[Block] = []
    refusal = ""
    for item in read.output or ():
        blocks += blocks_of(item)
        refusal += "".join(part.refusal or "" for part in item.content or ())
    calls = [block for block in blocks if isinstance(block, ToolUse)]
    cut = [call for call in calls if not is_object(call.arguments)]
    reason = stop_reason(read, called=len(calls) > len(cut), cut=bool(cut), refused=bool(refusal))
    if cut and read.status != "incomplete":
        raise UpstreamBroken(f"the provider called {cut[0].name} with arguments that are no JSON object")
    blocks = [block for block in blocks if block not in cut]  # it could be carried out half-written
    return ChatResponse(
        id=read.id or "",
        model=read.model or "",
        content=tuple(blocks),
        stop_reason=reason,
        usage=usage.read(read.usage) or NOTHING,
        refusal=refusal or None,
        tier=tier(read.service_tier),
    )


def decode(body: bytes) -> Response:
    """Raises UpstreamBroken where it is no response, or the error that it is instead."""
    try:
        read = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamBroken("the provider's answer is not a response") from fault
    if read.error:
        raise error.read_stream_error(read.error)
    if read.output is None or read.status in ("failed", "cancelled", "queued", "in_progress"):
        raise UpstreamBroken("the provider's answer is not a finished response")
    return read


def blocks_of(item: Item) -> list[Block]:
    """What an item says. Those of the provider's own tools say nothing."""
    match item.type:
        case "message":
            parts = item.content or ()
            text = "".join(part.refusal or part.text or "" for part in parts)
            likely = tuple(token for part in parts for token in read_likely(part.logprobs))
            return [Text(text, logprobs=likely)] if text else []
        case "reasoning":
            block = thinking(item)
            return [block] if block.text or block.signature else []
        case "function_call" | "custom_tool_call" if item.name:
            return [ToolUse(identity(item), item.name, arguments(item))]
    return []


def thinking(item: Item) -> Thinking:
    shown = item.summary or item.content or ()
    text = "\n\n".join(part.text for part in shown if part.text)
    signature = names.sign(item.encrypted_content, item=item.id or "") if item.encrypted_content else ""
    return Thinking(text, signature)


def identity(item: Item) -> str:
    return item.call_id or item.id or ""


def arguments(item: Item) -> str:
    if item.type == "custom_tool_call":
        return tools.custom_arguments(item.input or "")
    given = item.arguments or ""
    return given if given.strip() else "{}"


def stop_reason(read: Response, *, called: bool, cut: bool, refused: bool) -> StopReason:
    """What there is decides: `called`, a tool; `cut`, in the middle of its arguments."""
    if read.status == "incomplete" and (cut or not called):
        given = read.incomplete_details.reason if read.incomplete_details else None
        return answer.REASONS.get(given or "", "max_tokens")
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def write_response(response: ChatResponse, *, call: ClientCall, created: int) -> bytes:
    frame = answer.Frame(call, created=created)
    frame.begin(response.id)
    reason = None if response.refusal else answer.INCOMPLETE.get(response.stop_reason or "end_turn")
    status: answer.Status = "incomplete" if reason else "completed"
    items = _write(response, frame.id, tools.Table(call.wire.body))
    if items and "status" in items[-1]:
        items[-1]["status"] = status
    output = [msgspec.Raw(msgspec.json.encode(item)) for item in items]
    counted = response.usage
    if counted == NOTHING:
        counted = estimate.usage(call.body, size=chat.size(response.content))
    return frame.write(status, output, reason=reason, counted=counted, tier=response.tier)


def _write(response: ChatResponse, answer_id: str, table: tools.Table) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for block in response.content:
        at = len(items)
        match block:
            case Text(text=text) if text:
                refused = text == response.refusal
                identity = _id("msg", answer_id, at)
                items.append(answer.message(identity, text, status="completed", refusal=refused, likely=block.logprobs))
            case Thinking() | RedactedThinking() if block != Thinking(""):
                items.append(answer.reasoning(_id("rs", answer_id, at), block))
            case ToolUse(name=name, arguments=given):
                promised = table.promised(name)
                identity = _id(answer.PREFIXES[promised.kind], answer_id, at)
                block = msgspec.structs.replace(block, arguments=given if given.strip() else "{}")
                items.append(answer.call_item(identity, block, promised=promised, status="completed"))
    if response.refusal and not any(item["type"] == "message" for item in items):
        text = response.refusal
        items.append(answer.message(_id("msg", answer_id, len(items)), text, status="completed", refusal=True))
    return items


def _id(prefix: str, answer_id: str, at: int) -> str:
    return names.item_id(prefix, answer=answer_id, at=at)
