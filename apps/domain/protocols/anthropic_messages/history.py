"""The messages of a client's request, read as Anthropic reads them: what each role may say, and calls with results."""

from __future__ import annotations

from apps.domain import chat
from apps.domain.errors import InvalidRequest
from apps.domain.protocols import pairing
from apps.domain.protocols.anthropic_messages import blocks, validation, wire

# What only its own dialect can do anything with, and the turn is not about; the model's own turns may hold more.
_LEFT_OUT = frozenset(
    {
        *("container_upload", "compaction", "fallback", "mcp_tool_listing", "mid_conv_system"),
        *("tool_addition", "tool_reference", "tool_removal"),
    }
)
_LEFT_OUT_ENDS = ("_tool_result", "_tool_use")


def read(messages: list[wire.DeepMessage]) -> tuple[chat.Message, ...]:
    """Raises InvalidRequest that names the block."""
    pairs = pairing.Pairs(unanswered=_unanswered, unexpected=_unexpected)
    turns = []
    for position, message in enumerate(messages):
        at = f"messages.{position}"
        if message.role == "system":
            turns.append(chat.Message("system", blocks.read_texts(message.content, at=f"{at}.content")))
            continue
        if message.role == "assistant" and not _follows_itself(turns):
            pairs.end()
        content = blocks.read_content(message.content, at=f"{at}.content")
        for number, block in enumerate(content):
            _check(block, message.role, at=f"{at}.content.{number}")
            if isinstance(block, chat.ToolUse):
                pairs.call(block.id, at=at)
            elif isinstance(block, chat.ToolResult):
                pairs.result(block.tool_use_id, at=at)
        turns.append(chat.Message(message.role, content))
    pairs.end()
    return tuple(turns)


def _follows_itself(turns: list[chat.Message]) -> bool:
    return bool(turns) and turns[-1].role == "assistant"


def _check(block: chat.Block, role: chat.Role, *, at: str) -> None:
    match block:
        case chat.ToolUse() if role != "assistant":
            raise validation.invalid(at, "`tool_use` blocks can only be in `assistant` messages")
        case chat.ToolResult() if role != "user":
            raise validation.invalid(at, "`tool_result` blocks can only be in `user` messages")
        case chat.Image() | chat.Document() if role != "user":
            kind = "image" if isinstance(block, chat.Image) else "document"
            raise validation.invalid(at, f"`{kind}` blocks can only be in `user` messages")
        case chat.Opaque(raw=raw) if role == "user":
            kind = raw["type"]
            if kind not in _LEFT_OUT and not kind.endswith(_LEFT_OUT_ENDS):
                raise validation.invalid(
                    f"{at}.type", f"Input tag '{kind[:100]}' does not match any of the expected tags"
                )


def _unanswered(at: str, id_: str) -> InvalidRequest:
    return validation.invalid(
        at,
        f"`tool_use` ids were found without `tool_result` blocks immediately after: {id_[:200]}. Each `tool_use` block"
        " must have a corresponding `tool_result` block in the next message.",
    )


def _unexpected(at: str, id_: str) -> InvalidRequest:
    return validation.invalid(
        at,
        f"unexpected `tool_use_id` found in `tool_result` blocks: {id_[:200]}. Each `tool_result` block must have a"
        " corresponding `tool_use` block in the previous message.",
    )
