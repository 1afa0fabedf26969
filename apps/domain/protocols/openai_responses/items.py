"""The conversation: a flat list of items to canonical turns, and back.

What the model said, thought and called are items of their own that follow one another; canonically they are one
assistant turn. Outputs of calls lead the user turn behind it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain.chat import Block, Message, RedactedThinking, Role, Text, Thinking, ToolResult, ToolUse
from apps.domain.protocols import pairing
from apps.domain.protocols.openai_chat.content import NOTHING_SAID
from apps.domain.protocols.openai_chat.messages import ATTRIBUTION
from apps.domain.protocols.openai_responses import content, names, tools, validation, wire

_SYSTEM = ("system", "developer")
_ROLES = "'assistant', 'system', 'developer', and 'user'"
# Calls whose tool is of the item's own kind, by where their arguments are.
_ACTIONS = {"local_shell_call": "action", "shell_call": "action", "apply_patch_call": "operation"}
_RESULTS = (
    "function_call_output",
    "custom_tool_call_output",
    "local_shell_call_output",
    "shell_call_output",
    "apply_patch_call_output",
)
_UNREADABLE = {
    "compaction": "what OpenAI has compacted only OpenAI can read; send the conversation itself.",
    "computer_call": "this model cannot use a computer.",
    "computer_call_output": "this model cannot use a computer.",
}
# What OpenAI's own tools did, of which the answer behind them tells.
_TOLD_ANYWAY = frozenset(
    [
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "tool_search_call",
        "tool_search_output",
        "additional_tools",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "program",
        "program_output",
        "compaction_trigger",
    ]
)
Texts = list[wire.Said]


def read(body: wire.Body, table: tools.Table) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    """The system prompt (the instructions, and such messages at the head; later ones stay in their place) and the
    turns. Raises InvalidRequest, naming the item."""
    system = [Text(body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return tuple(system), (Message("user", content.read(body.input, at="input")),)
    turns = _Turns()
    pairs = _Pairs()
    for position, item in enumerate(body.input or ()):
        at = f"input[{position}]"
        role = _role(item, at=at)
        if role in _SYSTEM and turns.empty:
            system += content.read_texts(item.content, at=f"{at}.content")
        elif role in _SYSTEM:
            turns.system(content.read_texts(item.content, at=f"{at}.content"))
        elif role == "user":
            turns.user(content.read(item.content, at=f"{at}.content"))
        elif role == "assistant":
            turns.assistant(*content.read_texts(item.content, at=f"{at}.content"))
        elif item.type in _RESULTS:
            turns.result(pairs.answered(_read_result(item, at=at), at=at))
        elif (block := _read_block(item, table, at=at)) is not None:
            turns.assistant(pairs.called(block, at=at))
    pairs.end()
    if turns.empty:  # nothing but instructions; a conversation needs a turn
        return (), (Message("user", tuple(system)),)
    return tuple(system), turns.all()


def write(turns: tuple[Message, ...], *, quirks: frozenset[str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "assistant":
            items += _write_assistant(turn.content)
        elif turn.role == "user":
            items += _write_user(turn.content)
        elif parts := content.write(turn.content):
            role = "developer" if "developer_role" in quirks else "system"
            items.append({"role": role, "content": content.compact(parts)})
    return items


def instructions(system: tuple[Text, ...]) -> str:
    return "\n\n".join(text.text for text in system if text.text and not text.text.startswith(ATTRIBUTION))


class _Pairs(pairing.Pairs):
    """What is called may be answered at any later place."""

    def __init__(self) -> None:
        super().__init__(unanswered=validation.no_result, unexpected=validation.no_call)

    def called(self, block: Block, *, at: str) -> Block:
        if isinstance(block, ToolUse):
            self.call(block.id, at=at)
        return block

    def answered(self, result: ToolResult, *, at: str) -> ToolResult:
        self.result(result.tool_use_id, at=at)
        return result


class _Turns:
    """Puts items together to turns."""

    def __init__(self) -> None:
        self._turns: list[tuple[Role, list[Block]]] = []
        self._answering = False  # the last turn is a user's that holds results and nothing else yet

    @property
    def empty(self) -> bool:
        return not self._turns

    def system(self, blocks: tuple[Text, ...]) -> None:
        self._begin("system", blocks)

    def user(self, blocks: tuple[content.Content, ...]) -> None:
        if self._answering:
            self._turns[-1][1].extend(blocks)
            self._answering = False
        else:
            self._begin("user", blocks)

    def assistant(self, *blocks: Block) -> None:
        if self._turns and self._turns[-1][0] == "assistant":
            self._turns[-1][1].extend(blocks)
        else:
            self._begin("assistant", blocks)

    def result(self, result: ToolResult) -> None:
        if self._answering:
            self._turns[-1][1].append(result)
        else:
            self._begin("user", (result,))
            self._answering = True

    def all(self) -> tuple[Message, ...]:
        return tuple(Message(role, tuple(blocks)) for role, blocks in self._turns)

    def _begin(self, role: Role, blocks: tuple[Block, ...]) -> None:
        self._turns.append((role, list(blocks)))
        self._answering = False


def _role(item: wire.Item, *, at: str) -> str | None:
    """None for an item that is no message."""
    if item.type not in (None, "message"):
        return None
    if item.role is None:
        raise validation.missing(f"{at}.role" if item.type else f"{at}.type")
    if item.role not in (*_SYSTEM, "user", "assistant"):
        raise validation.wrong_value(f"{at}.role", value=item.role, supported=_ROLES)
    if item.content is None:
        raise validation.missing(f"{at}.content")
    return item.role


def _read_block(item: wire.Item, table: tools.Table, *, at: str) -> Block | None:
    match item.type:
        case "reasoning":
            return _read_reasoning(item, at=at)
        case "function_call":
            arguments = validation.convert("" if item.arguments is None else item.arguments, str, at=f"{at}.arguments")
            return ToolUse(_call_id(item, at=at), _name(item, table, at=at), arguments)
        case "custom_tool_call":
            text = validation.convert(item.input or "", str, at=f"{at}.input")
            return ToolUse(_call_id(item, at=at), _name(item, table, at=at), tools.custom_arguments(text))
        case str() as kind if kind in _ACTIONS:
            action = dict(validation.convert(getattr(item, _ACTIONS[kind]), wire.Object, at=f"{at}.{_ACTIONS[kind]}"))
            if kind == "local_shell_call":
                action = {name: value for name, value in action.items() if name not in ("type", "env") and value}
            return ToolUse(_call_id(item, at=at), kind.removesuffix("_call"), msgspec.json.encode(action).decode())
        case str() as kind if kind in _UNREADABLE:
            raise validation.unsupported(f"{at}.type", reason=_UNREADABLE[kind])
        case str() as kind if kind not in _TOLD_ANYWAY:
            raise validation.wrong_value(f"{at}.type", value=kind, supported="see the API reference")
    return None


def _read_reasoning(item: wire.Item, *, at: str) -> Thinking | RedactedThinking | None:
    shown = validation.convert(item.summary or [], Texts, at=f"{at}.summary")
    shown = shown or validation.convert(item.content or [], Texts, at=f"{at}.content")
    text = "\n\n".join(said.text for said in shown)
    encrypted = validation.convert(item.encrypted_content or "", str, at=f"{at}.encrypted_content")
    if not text and not encrypted:
        return None
    return names.unseal(encrypted, item=item.id if isinstance(item.id, str) else "", text=text)


def _name(item: wire.Item, table: tools.Table, *, at: str) -> str:
    name = validation.text(item.name, at=f"{at}.name")
    namespace = validation.text(item.namespace, at=f"{at}.namespace") if item.namespace else None
    return table.flat(name, namespace=namespace)


def _call_id(item: wire.Item, *, at: str) -> str:
    """The output of the local shell may have no other id than its own, which is the call's."""
    identity = item.id if item.call_id is None and item.type == "local_shell_call_output" else item.call_id
    return validation.text(identity, at=f"{at}.call_id")


def _read_result(item: wire.Item, *, at: str) -> ToolResult:
    output = item.output
    if output is None:
        raise validation.missing(f"{at}.output")
    if item.type == "shell_call_output" and not isinstance(output, str):  # what was written where, and how it ended
        output = msgspec.json.encode(output).decode()
    return ToolResult(_call_id(item, at=at), content.read(output, at=f"{at}.output"))


def _write_assistant(blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    said: list[str] = []
    for block in blocks:
        match block:
            case Thinking():
                item = _write_reasoning(block)
            case ToolUse():
                item = _write_call(block)
            case _:
                said += [part["text"] for part in content.write((block,)) if part["type"] == "input_text"]
                continue
        if item is None:
            continue
        if said:
            items.append(_message(said))
            said = []
        items.append(item)
    return [*items, _message(said)] if said else items


def _message(said: list[str]) -> dict[str, Any]:
    return {"role": "assistant", "content": "".join(said)}


def _write_reasoning(block: Thinking) -> dict[str, Any] | None:
    """What another vendor thought is nothing to this one."""
    if (own := names.encrypted_of(block)) is None:
        return None
    item, encrypted = own
    summary = [{"type": "summary_text", "text": block.text}] if block.text else []
    raw: dict[str, Any] = {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
    return {"id": item} | raw if item else raw


def _write_call(block: ToolUse) -> dict[str, Any]:
    arguments = block.arguments if block.arguments.strip() else "{}"
    return {"type": "function_call", "call_id": names.call_id(block.id), "name": block.name, "arguments": arguments}


def _write_user(blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
    items = [_write_result(block) for block in blocks if isinstance(block, ToolResult)]
    parts = content.write(block for block in blocks if not isinstance(block, ToolResult))
    if parts or not items:
        parts = parts or [content.text_part(NOTHING_SAID)]
        items.append({"role": "user", "content": content.compact(parts)})
    return items


def _write_result(result: ToolResult) -> dict[str, Any]:
    """Pictures and files may be in it."""
    parts = content.write(result.content)
    if all(part["type"] == "input_text" for part in parts):
        said = "\n".join(part["text"] for part in parts)
        output: str | list[dict[str, Any]] = f"Error: {said}" if result.is_error else said
    else:
        output = [content.text_part("Error:"), *parts] if result.is_error else parts
    return {"type": "function_call_output", "call_id": names.call_id(result.tool_use_id), "output": output}
