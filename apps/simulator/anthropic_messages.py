"""The conversation in a Messages request: roles, blocks, tool calls and their results, signatures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec

from apps.simulator import signing
from apps.simulator.ask import Object, Refused, Talk

_KINDS = {
    bool: "a valid boolean",
    dict: "a valid dictionary",
    float: "a valid number",
    int: "a valid integer",
    list: "a valid list",
    str: "a valid string",
}
# Fields each block must have and may have. None: a block of a server tool, passed unexamined.
BLOCKS: dict[str, tuple[dict[str, type], set[str]] | None] = {
    "text": ({"text": str}, {"citations"}),
    "image": ({"source": dict}, {"transformations"}),
    "document": ({"source": dict}, {"title", "context", "citations"}),
    "search_result": ({"source": str, "title": str, "content": list}, {"citations"}),
    "tool_use": ({"id": str, "name": str, "input": dict}, {"caller", "toolset_name"}),
    "tool_result": ({"tool_use_id": str}, {"content", "is_error", "toolset_name"}),
    "thinking": ({"thinking": str, "signature": str}, set()),
    "redacted_thinking": ({"data": str}, set()),
    "server_tool_use": None,
    "web_search_tool_result": None,
    "web_fetch_tool_result": None,
    "code_execution_tool_result": None,
    "bash_code_execution_tool_result": None,
    "text_editor_code_execution_tool_result": None,
    "tool_search_tool_result": None,
    "mcp_tool_use": None,
    "mcp_tool_result": None,
    "container_upload": None,
    "compaction": None,
    "tool_reference": None,
    "tool_addition": None,
    "tool_removal": None,
}
ASSISTANT_ONLY = {"tool_use", "thinking", "redacted_thinking"}
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
CACHE_MARKS = 4


def refuse(message: str) -> NoReturn:
    raise Refused(message)


def expect(document: Object, name: str, kind: type, *, at: str = "", required: bool = False) -> Any:
    """The field of the kind asked for (Any: as JSON has it), or None. `at` is the path that a refusal names."""
    value = document.get(name)
    if value is None:
        if required:
            refuse(f"{at}{name}: Field required")
        return None
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not fits:
        refuse(f"{at}{name}: Input should be {_KINDS[kind]}")
    return value


def read(document: Object, *, signed_thinking_leads: bool) -> Talk:
    """Raises Refused. `signed_thinking_leads`: a tool turn must begin with thinking, as thinking is enabled."""
    turns = expect(document, "messages", list, required=True)
    if not turns:
        refuse("messages: at least one message is required")
    system = _system(document)
    blocks = [_turn(turn, at=f"messages.{index}") for index, turn in enumerate(turns)]
    roles = [turn["role"] for turn in turns]
    _check_roles(roles, blocks=blocks)
    _check_calls(roles, blocks=blocks)
    if signed_thinking_leads:
        _check_thinking_leads(roles, blocks=blocks)
    every = [block for turn_blocks in (system, *blocks) for block in turn_blocks]
    if sum("cache_control" in block for block in every) > CACHE_MARKS:
        refuse(f"A maximum of {CACHE_MARKS} blocks with cache_control may be provided.")
    last = list(_merged(roles, blocks=blocks))[-1][1] if roles[-1] == "user" else []
    return Talk(
        texts=[text for block in every for text in _texts(block)],
        said=_said(roles, blocks=blocks),
        results=tuple(" ".join(_texts(block)) for block in last if block["type"] == "tool_result"),
        attachments=sum(_attachments(block) for block in every),
        count=len(turns),
    )


def _system(document: Object) -> list[Object]:
    system = document.get("system")
    if system is None or system == "":
        return []
    if isinstance(system, str):
        system = [{"type": "text", "text": system}]
    if not isinstance(system, list):
        refuse("system: Input should be a valid list")
    for index, block in enumerate(system):
        _check_block(block, at=f"system.{index}")
        if block["type"] != "text":
            refuse(f"system.{index}.type: Input should be 'text'")
        if not block["text"]:
            refuse("system: text content blocks must be non-empty")
        if not block["text"].strip():
            refuse("system: text content blocks must contain non-whitespace text")
    return system


def _turn(turn: Any, *, at: str) -> list[Object]:  # Any: nothing is known of it yet
    if not isinstance(turn, dict):
        refuse(f"{at}: Input should be a valid dictionary")
    for name in ("role", "content"):
        if name not in turn:
            refuse(f"{at}.{name}: Field required")
    if turn["role"] not in ("user", "assistant", "system"):
        refuse(f"{at}.role: Input should be 'user' or 'assistant'")
    unknown = turn.keys() - {"role", "content"}
    if unknown:
        refuse(f"{at}.{min(unknown)}: Extra inputs are not permitted")
    content = turn["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list):
        refuse(f"{at}.content: Input should be a valid list")
    for index, block in enumerate(blocks):
        _check_block(block, at=f"{at}.content.{index}")
        if block["type"] in ASSISTANT_ONLY and turn["role"] != "assistant":
            refuse(f"{at}: `{block['type']}` blocks can only be in `assistant` messages")
        if block["type"] == "tool_result" and turn["role"] != "user":
            refuse(f"{at}: `tool_result` blocks can only be in `user` messages")
    return _checked_for_blanks(blocks, role=turn["role"], whole=content, at=at)


def _checked_for_blanks(blocks: list[Object], *, role: str, whole: Any, at: str) -> list[Object]:
    """A blank assistant turn written as a string, or an empty one, is let through; other blanks are refused."""
    if role == "assistant" and whole in ("", []):
        return []
    if not blocks:
        refuse(f"{at}: user messages must have non-empty content")
    for block in blocks:
        if block["type"] == "text" and block["text"] == "":
            refuse("messages: text content blocks must be non-empty")
    if all(block["type"] == "text" and not block["text"].strip() for block in blocks):
        refuse("messages: text content blocks must contain non-whitespace text")
    return blocks


def _check_block(block: Any, *, at: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in BLOCKS:
        expected = ", ".join(f"'{name}'" for name in sorted(BLOCKS))
        refuse(f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {expected}")
    rule = BLOCKS[kind]
    if rule is None:
        return
    required, optional = rule
    for name, of in required.items():
        expect(block, name, of, at=f"{at}.{kind}.", required=True)
    unknown = block.keys() - required.keys() - optional - {"type", "cache_control"}
    if kind.endswith("thinking"):
        unknown |= block.keys() & {"cache_control"}
    if unknown:
        refuse(f"{at}.{kind}.{min(unknown)}: Extra inputs are not permitted")
    for name in ("id", "tool_use_id"):
        if name in block and not TOOL_ID.fullmatch(block[name]):
            refuse(f"{at}.{kind}.{name}: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if kind == "thinking" and not signing.is_genuine(block["thinking"], signature=block["signature"]):
        refuse(f"{at}: Invalid `signature` in `thinking` block")
    if kind == "tool_result":
        for index, part in enumerate(_parts(block)):
            _check_block(part, at=f"{at}.tool_result.content.{index}")


def _check_roles(roles: list[str], *, blocks: list[list[Object]]) -> None:
    for index, role in enumerate(roles):
        if role == "system":
            followed = roles[index + 1] if index + 1 < len(roles) else "assistant"
            if index == 0 or roles[index - 1] != "user" or followed != "assistant":
                refuse(f"messages.{index}: role 'system' is not supported in this position")
    last = blocks[-1]
    if roles[-1] == "assistant" and last and last[-1].get("text", "x") != last[-1].get("text", "x").rstrip():
        refuse("messages: final assistant content cannot end with trailing whitespace")


def _check_calls(roles: list[str], *, blocks: list[list[Object]]) -> None:
    """Every call is answered in the next turn, every result answers a call of the turn before."""
    merged = list(_merged(roles, blocks=blocks))
    for position, (index, turn) in enumerate(merged):
        calls = {block["id"] for block in turn if block["type"] == "tool_use"}
        following = merged[position + 1][1] if position + 1 < len(merged) else []
        before = merged[position - 1][1] if position else []
        missing = calls - {block["tool_use_id"] for block in following if block["type"] == "tool_result"}
        if missing:
            refuse(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{min(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
                "message."
            )
        answered = {block["tool_use_id"] for block in turn if block["type"] == "tool_result"}
        stray = answered - {block["id"] for block in before if block["type"] == "tool_use"}
        if stray:
            refuse(
                f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {min(stray)}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )


def _merged(roles: list[str], *, blocks: list[list[Object]]) -> Iterable[tuple[int, list[Object]]]:
    """Neighbouring turns of one role are one turn. Yields (index of its first message, blocks)."""
    start = 0
    for index in range(1, len(roles) + 1):
        if index == len(roles) or roles[index] != roles[start]:
            yield start, [block for turn in blocks[start:index] for block in turn]
            start = index


def _check_thinking_leads(roles: list[str], *, blocks: list[list[Object]]) -> None:
    """Of the tool turn that is being continued: the thinking that led to its calls must come back with them."""
    merged = list(_merged(roles, blocks=blocks))
    if not any(block["type"] == "tool_result" for block in merged[-1][1]):
        return
    index, turn = merged[-2]  # there is one: results without the calls they answer have been refused
    first = turn[0]["type"]
    if first not in ("thinking", "redacted_thinking"):
        refuse(f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`.")


def _said(roles: list[str], *, blocks: list[list[Object]]) -> str:
    for role, turn in zip(reversed(roles), reversed(blocks), strict=True):
        texts = [block["text"] for block in turn if block["type"] == "text"]
        if role == "user" and texts:
            return "\n".join(texts)
    return ""


def _parts(block: Object) -> list[Object]:
    content = block.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _texts(block: Object) -> list[str]:
    kind = block["type"]
    if kind == "tool_result":
        return [text for part in _parts(block) for text in _texts(part)]
    if kind == "tool_use":
        return [block["name"], msgspec.json.encode(block["input"]).decode()]
    return [block[name] for name in ("text", "thinking") if isinstance(block.get(name), str)]


def _attachments(block: Object) -> int:
    if block["type"] == "tool_result":
        return sum(_attachments(part) for part in _parts(block))
    return int(block["type"] in ("image", "document"))
