"""The history: who said what, to canonical turns and back.

OpenAI answers each call with a message of its own, directly behind the assistant's; canonically the answers lead the
next user turn. So tool messages and the user message behind them are one turn, and one turn is several messages.
"""

from __future__ import annotations

from typing import Any

from apps.domain.chat import Block, Image, Message, RedactedThinking, Role, Text, Thinking, ToolResult, ToolUse
from apps.domain.protocols import pairing
from apps.domain.protocols.contract import Target
from apps.domain.protocols.openai_chat import content, validation, wire

ATTRIBUTION = "x-anthropic-billing-header:"
"""How Claude Code's first system block begins: addressed to Anthropic, noise to anyone else."""

OURS = "gw1."
"""How a signature begins that the gateway minted for thinking that its vendor did not sign."""

_SYSTEM = ("system", "developer")
_RESULTS = ("tool", "function")
_LEGACY = "function_call"  # has no id


def read(messages: list[wire.Message]) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    """The system prompt (system messages at the head; later ones stay in their place) and the turns."""
    head = next((i for i, message in enumerate(messages) if message.role not in _SYSTEM), len(messages))
    system = tuple(
        text for i in range(head) for text in content.read_texts(messages[i].content, at=f"messages[{i}].content")
    )
    if head == len(messages):  # nothing but instructions; a conversation needs a turn
        return (), (Message("user", system),)
    _check_pairs(messages)
    turns: list[Message] = []
    position = head
    while position < len(messages):
        if messages[position].role in _RESULTS:
            turn, position = _read_results(messages, position, turns)
        else:
            turn, position = _read_turn(messages[position], position), position + 1
        turns.append(turn)
    return system, tuple(turns)


def _check_pairs(messages: list[wire.Message]) -> None:
    """What is said in between is moved behind the results, but nobody answers in the model's place. Raises
    InvalidRequest."""
    pairs = pairing.Pairs(unanswered=validation.no_result, unexpected=validation.no_call)
    for position, message in enumerate(messages):
        at = f"messages[{position}]"
        if message.role == "assistant":
            pairs.end()
            for call in message.tool_calls or ():
                pairs.call(call.id, at=at)
            if message.function_call:
                pairs.call(_LEGACY, at=at)
        elif message.tool_calls or message.function_call:
            raise validation.unsupported(f"{at}.tool_calls", reason="only the assistant calls tools.")
        elif message.role in _RESULTS:
            pairs.result(_LEGACY if message.tool_call_id is None else message.tool_call_id, at=at)
    pairs.end()


def write(system: tuple[Text, ...], turns: tuple[Message, ...], *, target: Target) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    kept = [block for block in system if not block.text.startswith(ATTRIBUTION)]
    if parts := content.write(kept, quirks=target.quirks):
        role = "developer" if "developer_role" in target.quirks else "system"
        messages.append({"role": role, "content": content.compact(parts, strings="string_system" in target.quirks)})
    for turn in _in_order(turns):
        if turn.role == "system":
            _write_system(turn, messages, target=target)
        elif turn.role == "assistant":
            messages.append(_write_assistant(turn.content, target=target))
        else:
            messages += _write_user(turn.content, target=target)
    return messages


def reasoning_of(message: wire.Message) -> tuple[Thinking | RedactedThinking, ...]:
    """Signed thinking where the caller kept it, else the bare text, which only its own vendor wants back."""
    signed: list[Thinking | RedactedThinking] = []
    for detail in message.reasoning_details or ():
        if detail.type == "reasoning.text" and detail.signature:
            signed.append(Thinking(detail.text or "", detail.signature))
        elif detail.type == "reasoning.encrypted" and detail.data:
            signed.append(RedactedThinking(detail.data))
    if signed:
        return tuple(signed)
    text = message.reasoning_content or message.reasoning
    return (Thinking(text),) if text and isinstance(text, str) else ()


def _read_turn(message: wire.Message, position: int) -> Message:
    at = f"messages[{position}].content"
    if message.role in _SYSTEM:
        return Message("system", content.read_texts(message.content, at=at))
    if message.role == "user":
        return Message("user", content.read(message.content, at=at))
    if message.audio is not None:
        raise validation.unsupported(f"messages[{position}].audio", reason="this model has not heard it.")
    blocks: list[Block] = [*reasoning_of(message), *content.read_texts(message.content, at=at)]
    if message.refusal:
        blocks.append(Text(message.refusal))
    blocks += _read_calls(message, position)
    return Message("assistant", tuple(blocks))


def _read_calls(message: wire.Message, position: int) -> list[ToolUse]:
    calls = []
    for number, call in enumerate(message.tool_calls or ()):
        if call.function is None:
            raise validation.unsupported(f"messages[{position}].tool_calls[{number}].type", reason="functions only.")
        calls.append(ToolUse(call.id, call.function.name, call.function.arguments))
    if message.function_call:
        calls.append(ToolUse(_legacy_id(position), message.function_call.name, message.function_call.arguments))
    return calls


def _legacy_id(position: int) -> str:
    """Functions, which came before tools, had no ids: the answer follows its call."""
    return f"call_function_{position}"


def _read_results(messages: list[wire.Message], start: int, turns: list[Message]) -> tuple[Message, int]:
    """The run of results from `start`, in the order of the calls, and the user message behind it, as one turn."""
    results = []
    position = start
    while position < len(messages) and messages[position].role in _RESULTS:
        message = messages[position]
        blocks = content.read(message.content, at=f"messages[{position}].content")
        identity = message.tool_call_id if message.tool_call_id is not None else _legacy_id(start - 1)
        results.append(ToolResult(identity, blocks))
        position += 1
    last = turns[-1].content if turns and turns[-1].role == "assistant" else ()
    order = {block.id: place for place, block in enumerate(last) if isinstance(block, ToolUse)}
    results.sort(key=lambda result: order.get(result.tool_use_id, len(order)))
    rest: tuple[Block, ...] = ()
    if position < len(messages) and messages[position].role == "user":
        rest = content.read(messages[position].content, at=f"messages[{position}].content")
        position += 1
    return Message("user", (*results, *rest)), position


def _in_order(turns: tuple[Message, ...]) -> list[Message]:
    """With nothing between calls and their results: what instructs in between goes behind, and one side's turns that
    follow one another there are one."""
    ordered: list[tuple[Role, list[Block]]] = []
    late: list[tuple[Role, list[Block]]] = []
    answering = False  # the last turn has calls, or the first of their results
    for turn in turns:
        made = (turn.role, list(turn.content))
        if answering and turn.role == "system":
            late.append(made)
        elif answering and turn.role == ordered[-1][0]:
            ordered[-1][1].extend(turn.content)
        elif answering and turn.role == "user":
            ordered.append(made)
        else:
            ordered += [*late, made]
            late = []
            answering = turn.role == "assistant" and any(isinstance(block, ToolUse) for block in turn.content)
    return [Message(role, tuple(blocks)) for role, blocks in [*ordered, *late]]


def _write_system(turn: Message, messages: list[dict[str, Any]], *, target: Target) -> None:
    """In its place, or, for vendors that take instructions only at the head, folded into the user's turn."""
    parts = content.write(turn.content, quirks=target.quirks)
    if not parts:
        return
    if "head_system_only" not in target.quirks:
        messages.append({"role": "system", "content": content.compact(parts, strings=True)})
        return
    parts = [content.text_part(f"<system>{content.compact(parts, strings=True)}</system>")]
    if messages and messages[-1]["role"] == "user":
        said = messages.pop()["content"]
        parts = ([content.text_part(said)] if isinstance(said, str) else said) + parts
    messages.append({"role": "user", "content": content.compact(parts, strings="string_content" in target.quirks)})


def _write_assistant(blocks: tuple[Block, ...], *, target: Target) -> dict[str, Any]:
    texts = content.write((block for block in blocks if not isinstance(block, ToolUse)), quirks=frozenset())
    said = "".join(part["text"] for part in texts if part["type"] == "text")
    calls = [_write_call(block) for block in blocks if isinstance(block, ToolUse)]
    silent = None if calls and "no_null_content" not in target.quirks else ""
    message: dict[str, Any] = {"role": "assistant", "content": said or silent}
    if calls:
        message["tool_calls"] = calls
    if "no_reasoning_history" not in target.quirks and (thought := _thought(blocks)):
        message["reasoning" if "reasoning_field" in target.quirks else "reasoning_content"] = thought
    return message


def _thought(blocks: tuple[Block, ...]) -> str:
    """What an unsigning vendor thought. Thinking that another signed is nothing to this one."""
    return "".join(
        block.text
        for block in blocks
        if isinstance(block, Thinking) and (not block.signature or block.signature.startswith(OURS))
    )


def _write_call(block: ToolUse) -> dict[str, Any]:
    arguments = block.arguments if block.arguments.strip() else "{}"
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _write_user(blocks: tuple[Block, ...], *, target: Target) -> list[dict[str, Any]]:
    """Every result first, as OpenAI demands; then, in its order, the rest of the turn."""
    messages: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for result in blocks:
        if isinstance(result, ToolResult):
            message, promoted = _write_result(result, target=target)
            messages.append(message)
            parts += promoted
    parts += content.write((block for block in blocks if not isinstance(block, ToolResult)), quirks=target.quirks)
    if parts or not messages:
        parts = parts or [content.text_part(content.NOTHING_SAID)]
        said = content.compact(parts, strings="string_content" in target.quirks)
        messages.append({"role": "user", "content": said})
    return messages


def _write_result(result: ToolResult, *, target: Target) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The tool message, and parts for the user message behind it: a tool message cannot hold pictures or files."""
    parts = content.write(result.content, quirks=frozenset())
    texts = [part["text"] for part in parts if part["type"] == "text"]
    promoted = [part for part in parts if part["type"] != "text"]
    said = "\n".join(texts)
    if promoted:
        what = "image" if any(isinstance(block, Image) for block in result.content) else "file"
        promoted.insert(0, content.text_part(f"[{what} from the result of tool call {result.tool_use_id}]"))
        said = said or f"[{what} in the next user message]"
    if result.is_error:
        said = f"Error: {said}"
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": said}, promoted
