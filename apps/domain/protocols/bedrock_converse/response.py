"""Whole answers."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any

import msgspec

from apps.domain import chat, errors, floats
from apps.domain.protocols import bedrock_tiers
from apps.domain.protocols.anthropic_messages.names import FORMAT_TOOL
from apps.domain.protocols.bedrock_converse import stops, usage
from apps.domain.tokens import NOTHING


class _Call(msgspec.Struct):
    name: str
    toolUseId: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Thought(msgspec.Struct):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct):
    reasoningText: _Thought | None = None
    redactedContent: str | None = None


class _Cited(msgspec.Struct):
    text: str = ""


class _Citations(msgspec.Struct):
    content: list[_Cited] = []


class _Block(msgspec.Struct):
    text: str | None = None
    toolUse: _Call | None = None
    reasoningContent: _Reasoning | None = None
    citationsContent: _Citations | None = None


class _Message(msgspec.Struct):
    content: list[_Block]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    output: _Output
    stopReason: str = ""
    usage: Any = None
    additionalModelResponseFields: Any = None
    serviceTier: Any = None


_decoder = msgspec.json.Decoder(_Answer, float_hook=floats.read)


def read_response(body: bytes) -> chat.ChatResponse:
    """Raises UpstreamBroken on anything but an answer, UpstreamFailed on one that the model spoiled."""
    try:
        answer = _decoder.decode(body)
        content = tuple(block for raw in answer.output.message.content if (block := _read(raw)) is not None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise errors.UpstreamBroken("the provider's answer is no message") from garbled
    reason = stops.read(
        answer.stopReason, calls=any(isinstance(block, chat.ToolUse) for block in content), said=bool(content)
    )
    return chat.ChatResponse(
        id="",
        model="",
        content=content,
        stop_reason=reason,
        stop_sequence=stops.met(reason, answer.additionalModelResponseFields),
        usage=usage.read(answer.usage) or NOTHING,
        tier=bedrock_tiers.served(answer.serviceTier),
    )


def unredacted(blob: str) -> str:
    """Anthropic's `data`, which Converse puts in base64 once more. Raises UpstreamBroken."""
    try:
        return b64decode(blob, validate=True).decode()
    except (binascii.Error, ValueError) as garbled:
        raise errors.UpstreamBroken("the provider's answer is garbled") from garbled


def _read(raw: _Block) -> chat.Block | None:
    """None for a block of a kind that no dialect has, and for empty text."""
    if raw.text is not None:
        return chat.Text(raw.text) if raw.text else None
    if raw.toolUse is not None:
        return _read_call(raw.toolUse)
    if raw.citationsContent is not None:
        return chat.Text("".join(cited.text for cited in raw.citationsContent.content))
    if raw.reasoningContent is not None:
        return _read_thinking(raw.reasoningContent)
    return None


def _read_call(call: _Call) -> chat.Block:
    """The answer in a schema that a model gave by calling our tool is text."""
    arguments = bytes(call.input).decode()
    return chat.Text(arguments) if call.name == FORMAT_TOOL else chat.ToolUse(call.toolUseId, call.name, arguments)


def _read_thinking(raw: _Reasoning) -> chat.Block | None:
    if raw.reasoningText is not None:
        return chat.Thinking(raw.reasoningText.text, raw.reasoningText.signature)
    return None if raw.redactedContent is None else chat.RedactedThinking(unredacted(raw.redactedContent))
