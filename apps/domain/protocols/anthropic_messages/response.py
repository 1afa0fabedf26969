"""Whole answers, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, errors, estimate, floats
from apps.domain.protocols import refusal
from apps.domain.protocols.anthropic_messages import blocks, error, names, stops, usage, wire
from apps.domain.protocols.contract import ClientCall
from apps.domain.tokens import NOTHING

ID = "msg_"


class Answer(msgspec.Struct):
    content: list[wire.Object]
    type: str = "message"
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Any = None


_decoder = msgspec.json.Decoder(Answer, float_hook=floats.read)


def read(body: bytes) -> Answer:
    """Raises UpstreamBroken where the body is no Message, or the error that it is instead."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise instead(body) from garbled
    if answer.type != "message":
        raise instead(body)
    return answer


def read_response(body: bytes) -> chat.ChatResponse:
    """Raises UpstreamBroken on anything but a Message."""
    answer = read(body)
    try:
        content = tuple(_unwrapped(block) for block in blocks.read_content(answer.content, at="content"))
    except errors.InvalidRequest as garbled:
        raise errors.UpstreamBroken(f"the provider's answer is garbled: {garbled.message}") from garbled
    return chat.ChatResponse(
        id=answer.id,
        model=answer.model,
        content=content,
        stop_reason=stops.read(answer.stop_reason, calls=_has_calls(content)),
        stop_sequence=answer.stop_sequence,
        usage=usage.read(answer.usage) or NOTHING,
    )


def write_response(response: chat.ChatResponse, *, call: ClientCall, created: int) -> bytes:
    """Raises UpstreamBroken where a tool call's arguments are no object."""
    id_ = call.answer_id(response.id, prefix=ID, created=created)
    content = [raw for at, block in enumerate(response.content) if (raw := _write(block, id_, at)) is not None]
    if response.refusal and not content:
        content.append({"type": "text", "text": response.refusal})
    counted = response.usage
    if counted == NOTHING:
        counted = estimate.usage(call.body, size=chat.size(response.content))
    answer: wire.Object = {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        "stop_reason": stops.write(response.stop_reason, calls=_has_calls(response.content)),
        "stop_sequence": response.stop_sequence,
        "usage": usage.write(counted) | _tier(response.tier),
    }
    if response.refusal:
        answer["stop_details"] = {"type": "refusal", "category": None, "explanation": response.refusal}
    return msgspec.json.encode(answer)


def _tier(told: str | None) -> wire.Object:
    name = {"default": "standard", "priority": "priority"}.get(told or "")
    return {} if name is None else {"service_tier": name}


def call_id(call: chat.ToolUse, *, answer: str, at: int) -> str:
    """Minted from the answer and the place in it, so that no two calls of a conversation share one."""
    return names.tool_id(call.id, minted=names.tool_id(f"{answer}_{at}", minted=""))


def _write(block: chat.Block, answer: str, at: int) -> wire.Object | None:
    match block:
        case chat.Text(text=text):
            return {"type": "text", "text": text} if text else None
        case chat.ToolUse(name=name, arguments=arguments):
            input_ = blocks.write_input(arguments)
            return {"type": "tool_use", "id": call_id(block, answer=answer, at=at), "name": name, "input": input_}
        case chat.Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": names.sign(text, signature=signature)}
    return blocks.write(block)


def _has_calls(content: tuple[chat.Block, ...]) -> bool:
    return any(isinstance(block, chat.ToolUse) for block in content)


def _unwrapped(block: chat.Block) -> chat.Block:
    """The answer in a schema that a model gave by calling our tool."""
    if isinstance(block, chat.ToolUse) and block.name == names.FORMAT_TOOL:
        return chat.Text(block.arguments)
    return block


def instead(body: bytes) -> errors.UpstreamError:
    """What a body under status 200 that is no Message stands for."""
    raw = refusal.decoded(body)
    if isinstance(raw, dict) and isinstance(raw.get("error"), dict):
        return error.read_stream_error(raw)
    return errors.UpstreamBroken("the provider's answer is no message")
