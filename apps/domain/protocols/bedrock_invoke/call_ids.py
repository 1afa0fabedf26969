"""Ids of tool calls in a history that Bedrock would refuse: another vendor's, or a client's own."""

from __future__ import annotations

import re

import msgspec

from apps.domain import errors
from apps.domain.protocols import splice
from apps.domain.protocols.anthropic_messages import names

# Of calls, their results, and whatever else has an id; in a text its quotation marks would be escaped.
_UNFIT = re.compile(rb'id"[ \t\r\n]*:[ \t\r\n]*"(?![a-zA-Z0-9_-]{0,64}")')
_ESCAPED = re.compile(rb'(?:i|\\u0069)(?:d|\\u0064)"' + _UNFIT.pattern.removeprefix(rb'id"'))
_ID_IN = {b'"tool_use"': "id", b'"tool_result"': "tool_use_id"}
_text = msgspec.json.Decoder(str)


def fitted(messages: bytes) -> bytes:
    """The messages with such ids replaced, each by the same image wherever it stands: itself where there is none."""
    if not _is_unfit(messages) or not messages.startswith(b"["):
        return messages
    return splice.edit_items(messages, _message)


def _is_unfit(part: bytes) -> bool:
    """Whether there may be such an id. Keys with escapes take a slower look."""
    return (_ESCAPED if rb"\u006" in part else _UNFIT).search(part) is not None


def _message(message: bytes) -> bytes:
    if not _is_unfit(message):
        return message
    members = _read(message)
    content = (members and members.raw("content")) or b""
    if members is None or not content.startswith(b"["):
        return message
    new = splice.edit_items(content, _block)
    return message if new == content else members.edit({"content": new})


def _block(block: bytes) -> bytes:
    if not _is_unfit(block) or not block.startswith(b"{"):
        return block
    members = _read(block)
    if members is None:
        return block
    name = _ID_IN.get(members.raw("type") or b"", "")
    raw = members.raw(name) or b""
    if _UNFIT.match(b'id":' + raw) is None:
        return block
    return members.edit({name: msgspec.json.encode(names.tool_id(_text.decode(raw), minted=""))})


def _read(part: bytes) -> splice.Members | None:
    """None: two of its keys are alike, which is the provider's to judge."""
    try:
        return splice.read(part)
    except errors.InvalidRequest:
        return None
