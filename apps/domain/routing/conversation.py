"""Which conversation a call belongs to, by what stays the same while it grows: its instructions and its first message.

By their texts alone: clients set marks of prompt caches anew with every turn, and write a text as a string now and as
a part then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apps.domain.routing import dialogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import msgspec

    from apps.domain.protocols.contract import ClientCall
    from apps.domain.routing.dialogue import Turn

_TEXT = re.compile(rb'"text"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"')  # it never goes back
_OWN = b"x-anthropic-billing-header"  # Claude Code's, another one every call


def of(call: ClientCall, *, key_id: int, turns: Sequence[Turn] | None = None) -> int | None:
    """A number of this process's; None: it says nothing to tell it by. Two conversations of one key that begin alike
    are one. `turns` None: they are yet to be read."""
    fields = call.fields
    said = fields.get("messages") or fields.get("input")
    if said is None:
        return None
    if turns is None:
        turns = dialogue.turns(call)
    first = _first(turns) if dialogue.is_list(said) else (bytes(said),)
    if not first:
        return None
    return hash((key_id, *_texts(fields, "system"), *_texts(fields, "instructions"), *first))


def _first(turns: Sequence[Turn]) -> tuple[bytes, ...]:
    """The texts up to the first of a user's: what is before it are instructions in some dialects."""
    texts: list[bytes] = []
    for turn in turns:
        texts += _said(bytes(turn.content))
        if turn.role == "user":
            break
    return tuple(texts)


def _texts(fields: Mapping[str, msgspec.Raw], name: str) -> list[bytes]:
    raw = fields.get(name)
    return [] if raw is None else _said(bytes(raw))


def _said(content: bytes) -> list[bytes]:
    """A string or parts, as they were written."""
    if content.startswith(b'"'):
        return [content[1:-1]]
    return [text for text in _TEXT.findall(content) if not text.startswith(_OWN)]
