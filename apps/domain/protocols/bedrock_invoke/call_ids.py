"""Ids of tool calls in a history that Bedrock would refuse: another vendor's, or a client's own."""

from __future__ import annotations

import re

import msgspec

from apps.domain.protocols import splice
from apps.domain.protocols.anthropic_messages import names

# Of calls, their results, and whatever else has an id; in a text its quotation marks would be escaped.
_UNFIT = re.compile(rb'id"[ \t\r\n]*:[ \t\r\n]*"(?![a-zA-Z0-9_-]{0,64}")')
_ID_IN = {b'"tool_use"': "id", b'"tool_result"': "tool_use_id"}
_text = msgspec.json.Decoder(str)


def fitted(messages: bytes) -> bytes:
    """The messages with such ids replaced, each by the same image wherever it stands: itself where there is none."""
    if _UNFIT.search(messages) is None or not messages.startswith(b"["):
        return messages
    return splice.edit_items(messages, _message)


def _message(message: bytes) -> bytes:
    if _UNFIT.search(message) is None:
        return message
    content = splice.read(message).raw("content") or b""
    if not content.startswith(b"["):
        return message
    new = splice.edit_items(content, _block)
    return message if new == content else splice.edit(message, {"content": new})


def _block(block: bytes) -> bytes:
    if _UNFIT.search(block) is None or not block.startswith(b"{"):
        return block
    members = splice.read(block)
    name = _ID_IN.get(members.raw("type") or b"", "")
    raw = members.raw(name) or b""
    if _UNFIT.match(b'id":' + raw) is None:
        return block
    return members.edit({name: msgspec.json.encode(names.tool_id(_text.decode(raw), minted=""))})
