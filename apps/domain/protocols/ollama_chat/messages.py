"""The history, as Ollama takes it: content is one string, pictures are bare base64 beside it, arguments are objects.

What a tool returned is a message of its own, directly behind the call, with the tool's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from apps.domain import floats
from apps.domain.chat import Block, Document, Image, Message, Opaque, Text, Thinking, ToolResult, ToolUse
from apps.domain.errors import TakesNoURL, Unfit
from apps.domain.protocols.openai_chat.content import NOTHING_SAID, opaque_text
from apps.domain.protocols.openai_chat.messages import ATTRIBUTION, OURS

Raw = dict[str, Any]


def write(system: tuple[Text, ...], turns: tuple[Message, ...]) -> list[Raw]:
    """Raises InvalidRequest for what Ollama cannot be given."""
    messages: list[Raw] = []
    said = "\n\n".join(block.text for block in system if block.text and not block.text.startswith(ATTRIBUTION))
    if said:
        messages.append({"role": "system", "content": said})
    names: dict[str, str] = {}  # of the tools that were called, by the call's id
    for turn in turns:
        if turn.role == "system":
            if said := _text(turn.content):
                messages.append({"role": "system", "content": said})
        elif turn.role == "assistant":
            names |= {block.id: block.name for block in turn.content if isinstance(block, ToolUse)}
            messages.append(_write_assistant(turn.content))
        else:
            messages += _write_user(turn.content, names)
    return messages


def _write_assistant(blocks: tuple[Block, ...]) -> Raw:
    message: Raw = {"role": "assistant", "content": "".join(_pieces(blocks))}
    thought = "".join(
        block.text
        for block in blocks
        if isinstance(block, Thinking) and (not block.signature or block.signature.startswith(OURS))
    )
    if thought:  # what another vendor signed is nothing to this one
        message["thinking"] = thought
    calls = [block for block in blocks if isinstance(block, ToolUse)]
    if calls:
        message["tool_calls"] = [_write_call(call, index=index) for index, call in enumerate(calls)]
    return message


def _write_call(call: ToolUse, *, index: int) -> Raw:
    function = {"index": index, "name": call.name, "arguments": _arguments(call)}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _arguments(call: ToolUse) -> Any:
    written = call.arguments.strip() or "{}"
    try:
        is_object = isinstance(floats.decode(written), dict)
    except msgspec.DecodeError:
        is_object = False
    if not is_object:
        raise Unfit("messages", f"the arguments of the tool call '{call.id[:200]}' are no JSON object")
    return msgspec.Raw(written.encode())


def _write_user(blocks: tuple[Block, ...], names: dict[str, str]) -> list[Raw]:
    """Every result first, then, in its order, the rest of the turn: a result holds text, so its pictures go there."""
    results = [block for block in blocks if isinstance(block, ToolResult)]
    messages = [_write_result(result, names) for result in results]
    rest: list[Block] = []
    for result in results:
        if pictures := [block for block in result.content if isinstance(block, Image)]:
            rest += [Text(f"[image from the result of tool call {result.tool_use_id}]"), *pictures]
    rest += [block for block in blocks if not isinstance(block, ToolResult)]
    said, images = _text(rest), [_picture(block) for block in rest if isinstance(block, Image)]
    if said or images or not messages:
        message: Raw = {"role": "user", "content": said if said or images else NOTHING_SAID}
        messages.append(message | ({"images": images} if images else {}))
    return messages


def _write_result(result: ToolResult, names: dict[str, str]) -> Raw:
    said = _text(result.content)
    if not said and any(isinstance(block, Image) for block in result.content):
        said = "[image in the next user message]"
    message: Raw = {"role": "tool", "content": f"Error: {said}" if result.is_error else said}
    if name := names.get(result.tool_use_id):
        message["tool_name"] = name
    if result.tool_use_id:
        message["tool_call_id"] = result.tool_use_id
    return message


def _text(blocks: Iterable[Block]) -> str:
    return "\n".join(_pieces(blocks))


def _pieces(blocks: Iterable[Block]) -> list[str]:
    found = []
    for block in blocks:
        match block:
            case Text(text=text):
                found.append(text)
            case Document():
                found.append(_document(block))
            case Opaque(raw=raw):
                found.append(opaque_text(raw))
    return [text for text in found if text]


def _document(block: Document) -> str:
    source = block.source
    if source.kind == "url":
        raise TakesNoURL("documents")
    if source.kind != "text":
        raise Unfit("messages", f"this model takes no documents but plain text, not {source.media_type[:100]}")
    return f"{block.name}\n\n{source.value}" if block.name else source.value


def _picture(block: Image) -> str:
    if block.source.kind != "base64":
        raise TakesNoURL("images")
    return block.source.value
