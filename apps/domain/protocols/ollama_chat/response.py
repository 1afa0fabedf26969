"""The answer that comes whole."""

from __future__ import annotations

from apps.domain.chat import Block, ChatResponse, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.ollama_chat import error, wire
from apps.domain.tokens import NOTHING


def read_response(body: bytes) -> ChatResponse:
    """Raises UpstreamBroken for a garbled body, another UpstreamError for an error under status 200."""
    line = wire.read(body)
    if line.error:
        raise error.read_stream_error(line.error)
    if line.message is None or line.done is not True:
        raise UpstreamBroken("the provider's answer is not a whole chat message")
    identity = wire.response_id(line)
    message = line.message
    said: list[Block] = [Thinking(message.thinking)] if message.thinking else []
    said += [Text(message.content)] if message.content else []
    calls = _read_calls(message, response=identity)
    return ChatResponse(
        id=identity,
        model=line.model or "",
        content=(*said, *calls),
        stop_reason=wire.stop_reason(line.done_reason, called=bool(calls), said=bool(said)),
        usage=wire.usage(line) or NOTHING,
    )


def _read_calls(message: wire.Message, *, response: str) -> list[ToolUse]:
    calls: list[ToolUse] = []
    for call in message.tool_calls or ():
        if call.function is not None and call.function.name:
            identity = wire.call_id(call, response=response, number=len(calls))
            calls.append(ToolUse(identity, call.function.name, wire.arguments(call.function)))
    return calls
