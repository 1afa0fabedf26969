"""Names of tools that every vendor takes, and the way back.

Clients send names of up to 128 characters (those of MCP servers are long); OpenAI and others take 64, of letters,
digits, `_` and `-`. A longer or odder name is cut and told apart by a digest of the whole, the same in the tools, the
choice among them and the history. The table of one request knows the originals.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from apps.domain.chat import Block, ChatRequest, Message, ToolUse
from apps.domain.events import BlockStarted, Event

LONGEST = 64
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST = 8


def fit(name: str) -> str:
    """The name itself where it fits."""
    plain = _UNFIT.sub("_", name)
    if plain == name and 0 < len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    return f"{plain[: LONGEST - _DIGEST - 1]}_{digest}"


def table(chat: ChatRequest) -> dict[str, str]:
    """Fitted name to original, for the tools that the model may call; empty for nearly every request."""
    return {short: tool.name for tool in chat.tools if tool.raw is None and (short := fit(tool.name)) != tool.name}


def fitted(chat: ChatRequest) -> ChatRequest:
    choice = chat.tool_choice
    if choice is not None and choice.name is not None:
        choice = msgspec.structs.replace(choice, name=fit(choice.name))
    tools = tuple(
        tool if tool.raw is not None else msgspec.structs.replace(tool, name=fit(tool.name)) for tool in chat.tools
    )
    messages = tuple(Message(turn.role, tuple(map(_fitted, turn.content))) for turn in chat.messages)
    return msgspec.structs.replace(chat, tools=tools, tool_choice=choice, messages=messages)


def restored(block: Block, originals: dict[str, str]) -> Block:
    if isinstance(block, ToolUse) and block.name in originals:
        return msgspec.structs.replace(block, name=originals[block.name])
    return block


def restored_event(event: Event, originals: dict[str, str]) -> Event:
    if isinstance(event, BlockStarted):
        return BlockStarted(event.index, restored(event.block, originals))
    return event


def _fitted(block: Block) -> Block:
    return msgspec.structs.replace(block, name=fit(block.name)) if isinstance(block, ToolUse) else block
