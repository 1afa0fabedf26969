"""The answer that comes whole."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, estimate, floats
from apps.domain.chat import Block, ChatResponse, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols.contract import ClientCall
from apps.domain.protocols.openai_chat import answer, error, usage
from apps.domain.tokens import NOTHING


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None  # a string; an object at some vendors


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    message: _Message
    logprobs: Any = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer, float_hook=floats.read).decode


def read_response(body: bytes) -> ChatResponse:
    """Raises UpstreamBroken for a garbled body, another UpstreamError for an error under status 200."""
    try:
        read = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamBroken("the provider's answer is not a chat completion") from fault
    if read.error:
        raise error.read_stream_error(read.error)
    if not read.choices:
        raise UpstreamBroken("the provider's answer holds no choice")
    choice = read.choices[0]
    said = _weighed(_read_words(choice.message), choice.logprobs)
    calls, cut = _read_calls(choice, response_id=read.id or "")
    reason = answer.stop_reason(
        choice.finish_reason, called=bool(calls), cut=cut, refused=bool(choice.message.refusal), said=bool(said)
    )
    return ChatResponse(
        id=read.id or "",
        model=read.model or "",
        content=(*said, *calls),
        stop_reason=reason,
        usage=usage.read(read.usage) or NOTHING,
        refusal=choice.message.refusal,
        tier=answer.tier(read.service_tier),
    )


def write_response(response: ChatResponse, *, call: ClientCall, created: int) -> bytes:
    legacy = bool(call.wire.body.functions)
    identity = call.answer_id(response.id, prefix=answer.ID, created=created)
    message = _write_message(response, answer_id=identity, legacy=legacy)
    finish = answer.FINISH[response.stop_reason or "end_turn"]
    if finish == "tool_calls" and "tool_calls" not in message:
        finish = "function_call" if "function_call" in message else "stop"
    counted = response.usage
    if counted == NOTHING:
        counted = estimate.usage(call.body, size=chat.size(response.content))
    body = {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": call.model,
        "choices": [{"index": 0, "message": message, "logprobs": _likely(response), "finish_reason": finish}],
        "usage": usage.write(counted),
    }
    if response.tier is not None:
        body["service_tier"] = response.tier
    return msgspec.json.encode(body)


def _likely(response: ChatResponse) -> dict[str, Any] | None:
    told = [token for block in response.content if isinstance(block, Text) for token in block.logprobs]
    return {"content": told, "refusal": None} if told else None


def detail(block: Thinking | RedactedThinking, *, index: int) -> dict[str, Any]:
    """Thinking with what its vendor needs to believe it again."""
    if isinstance(block, Thinking):
        fields: dict[str, Any] = {"type": "reasoning.text", "text": block.text, "signature": block.signature}
    else:
        fields = {"type": "reasoning.encrypted", "data": block.data}
    return fields | {"format": answer.DETAIL_FORMAT, "index": index}


def _read_words(message: _Message) -> list[Block]:
    """Thinking, text and refusal. A vendor that gives its reasoning under two names gives it once."""
    reasoning = message.reasoning_content or (message.reasoning if isinstance(message.reasoning, str) else "")
    text = answer.text_of(message.content)
    if not reasoning:
        tags = answer.ThinkTags()
        pieces = tags.feed(text) + tags.close() if text else []
        reasoning = "".join(piece for thinking, piece in pieces if thinking)
        text = "".join(piece for thinking, piece in pieces if not thinking)
    blocks: list[Block] = [Thinking(reasoning)] if reasoning else []
    return blocks + [Text(words) for words in (text, message.refusal) if words]


def _weighed(said: list[Block], raw: Any) -> list[Block]:
    """What was said, with how likely it was."""
    likely = answer.read_likely(raw.get("content") if isinstance(raw, dict) else None)
    at = next((at for at, block in enumerate(said) if likely and isinstance(block, Text)), None)
    if at is not None:
        said[at] = msgspec.structs.replace(said[at], logprobs=likely)
    return said


def _read_calls(choice: _Choice, *, response_id: str) -> tuple[list[ToolUse], bool]:
    """The usable calls, and whether one was cut off. Raises UpstreamBroken for arguments that are no object."""
    found = [(call.id, call.function) for call in choice.message.tool_calls or ()]
    found.append((None, choice.message.function_call))
    calls: list[ToolUse] = []
    for call_id, function in found:
        if function is None or not function.name:
            continue
        arguments = _read_arguments(function.arguments)
        if not answer.is_object(arguments):
            if choice.finish_reason in ("length", "max_tokens"):
                return calls, True  # never handed on: it could be carried out half-written
            raise UpstreamBroken(f"the provider called {function.name} with arguments that are no JSON object")
        calls.append(ToolUse(call_id or answer.mint(response_id, len(calls)), function.name, arguments))
    return calls, False


def _read_arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return "{}" if arguments is None else msgspec.json.encode(arguments).decode()


def _write_message(response: ChatResponse, *, answer_id: str, legacy: bool) -> dict[str, Any]:
    blocks = response.content
    said = "".join(block.text for block in blocks if isinstance(block, Text))
    message: dict[str, Any] = {"role": "assistant", "content": said or None, "refusal": response.refusal}
    if thought := "".join(block.text for block in blocks if isinstance(block, Thinking)):
        message["reasoning_content"] = thought
    kept = [b for b in blocks if isinstance(b, RedactedThinking) or (isinstance(b, Thinking) and answer.signed(b))]
    if kept:
        message["reasoning_details"] = [detail(block, index=index) for index, block in enumerate(kept)]
    calls = [block for block in blocks if isinstance(block, ToolUse)]
    if calls and legacy:
        message["function_call"] = _write_function(calls[0])
    elif calls:
        message["tool_calls"] = [
            {"id": call.id or answer.mint(answer_id, number), "type": "function", "function": _write_function(call)}
            for number, call in enumerate(calls)
        ]
    if not calls and not said and not response.refusal:
        message["content"] = ""
    return message


def _write_function(call: ToolUse) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments if call.arguments.strip() else "{}"}
