"""A history of another dialect as the turns Anthropic accepts.

User and assistant alternate, the user begins, tool results stand first in the order of their calls, no text is
blank, no turn empty, and what another vendor thought is left out (PROTOCOLS A3, A4, A6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from apps.domain import chat
from apps.domain.protocols.anthropic_messages import blocks, names, wire

Turn = tuple[str, list[wire.Object]]
_PLACEHOLDER: wire.Object = {"type": "text", "text": "(no content)"}


def arrange(messages: Iterable[chat.Message], *, takes_system: bool) -> list[Turn]:
    """`takes_system`: whether the model accepts `role: system` among its messages; if not, it is folded into the
    neighbouring user turn, for hoisting it would break the cached prefix."""
    turns: list[Turn] = []
    for role, content in _written(_with_ids(messages)):
        if role == "system":
            role, content = _system(content, turns, takes_system=takes_system)
            if not content:
                continue
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(content)
        elif content or role == "user":
            turns.append((role, content))
    if not turns or turns[0][0] != "user":
        turns.insert(0, ("user", []))
    turns = _without_dangling_system(turns)
    calls: list[str] = []
    for at, (role, content) in enumerate(turns):
        if role == "user":
            turns[at] = (role, _ordered(content, calls))
        calls = [raw["id"] for raw in content if raw["type"] == "tool_use"]
    return turns


def lacks_thinking(turns: list[Turn]) -> bool:
    """Whether the answer under way began without thinking: `enabled` thinking is refused then."""
    if not turns or not any(block["type"] == "tool_result" for block in turns[-1][1]):
        return False
    answer = next((content for role, content in reversed(turns) if role == "assistant"), [])
    return not answer or answer[0]["type"] not in ("thinking", "redacted_thinking")


def _written(messages: Iterable[chat.Message]) -> Iterator[Turn]:
    for message in messages:
        content = []
        for block in message.content:
            raw = None if _foreign(block) else blocks.write(block)
            if raw is not None:
                content.append(raw)
        yield message.role, content


def _foreign(block: chat.Block) -> bool:
    """Thinking that Claude has not signed; its signature would be refused."""
    return isinstance(block, chat.Thinking) and block.signature.startswith(names.OUR_SIGNATURE)


def _with_ids(messages: Iterable[chat.Message]) -> Iterator[chat.Message]:
    """Ids in Anthropic's letters. Calls without one are paired with results without one, in order."""
    calls = results = 0
    for message in messages:
        content: list[chat.Block] = []
        for block in message.content:
            if isinstance(block, chat.ToolUse):
                block = msgspec.structs.replace(block, id=names.tool_id(block.id, minted=str(calls)))
                calls += 1
            elif isinstance(block, chat.ToolResult):
                mapped = names.tool_id(block.tool_use_id, minted=str(results))
                block = msgspec.structs.replace(block, tool_use_id=mapped)
                results += 1
            content.append(block)
        yield chat.Message(message.role, tuple(content))


def _system(content: list[wire.Object], turns: list[Turn], *, takes_system: bool) -> Turn:
    """Native only behind a user turn."""
    texts = [raw for raw in content if raw["type"] == "text"]
    native = takes_system and turns and turns[-1][0] in ("user", "system")
    return ("system", texts) if native else ("user", _folded(texts))


def _folded(texts: list[wire.Object]) -> list[wire.Object]:
    return [raw | {"text": f"<system>{raw['text']}</system>"} for raw in texts]


def _without_dangling_system(turns: list[Turn]) -> list[Turn]:
    """A native system message is last or stands before an assistant turn; else it is folded after all."""
    out: list[Turn] = []
    for at, (role, content) in enumerate(turns):
        following = turns[at + 1][0] if at + 1 < len(turns) else "assistant"
        if role == "system" and following != "assistant":
            role, content = "user", _folded(content)
        if out and out[-1][0] == role:
            out[-1][1].extend(content)
        else:
            out.append((role, content))
    return out


def _ordered(content: list[wire.Object], calls: list[str]) -> list[wire.Object]:
    """Results first, in the order of the calls they answer; the rest keeps its order."""
    if not content:
        return [_PLACEHOLDER]
    order = {id_: position for position, id_ in enumerate(calls)}
    results = [raw for raw in content if raw["type"] == "tool_result"]
    results.sort(key=lambda raw: order.get(raw["tool_use_id"], len(order)))
    return results + [raw for raw in content if raw["type"] != "tool_result"]
