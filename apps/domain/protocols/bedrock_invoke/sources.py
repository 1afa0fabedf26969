"""What an Anthropic caller gives by URL, as bytes: Bedrock refuses sources of type `url`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial

import msgspec

from apps.domain import chat
from apps.domain.errors import TakesNoURL, Unfetched
from apps.domain.protocols import attachments, splice
from apps.domain.protocols.anthropic_messages import blocks, validation
from apps.domain.protocols.attachments import Kind
from apps.domain.protocols.contract import ClientCall

_SOURCE = b'"source"'  # sooner looked for than what is shorter
_URL = b'"url"'
_KINDS: dict[bytes, Kind] = {b'"image"': "image", b'"document"': "document"}
_text = msgspec.json.Decoder(str)
_Lacking = list[tuple[str, Kind]]


def placed(messages: bytes, call: ClientCall, fetched: Mapping[str, chat.Fetched]) -> bytes:
    """The messages with bytes where they had URLs, every other byte as it was; themselves where they have none.

    Raises Unfetched, and InvalidRequest where what was fetched is neither an image nor a document.
    """
    if _SOURCE not in messages or _URL not in messages or not messages.startswith(b"["):
        return messages
    lacking: _Lacking = []
    try:
        found = splice.edit_items(messages, partial(_holder, "content", fetched, lacking))
    except attachments.Unusable as unusable:
        raise validation.undownloaded(call, url=unusable.url, reason=unusable.kind) from None
    if lacking:
        unfit = TakesNoURL("images" if any(kind == "image" for _, kind in lacking) else "documents")
        raise Unfetched(validation.unfit("messages", unfit.reason), urls=Counter(url for url, _ in lacking))
    return found


def _holder(name: str, fetched: Mapping[str, chat.Fetched], lacking: _Lacking, holder: bytes) -> bytes:
    """An object whose member `name` may be a list of blocks."""
    if _URL not in holder or not holder.startswith(b"{"):
        return holder
    members = splice.read(holder)
    content = members.raw(name) or b""
    if _URL not in content or not content.startswith(b"["):
        return holder
    new = splice.edit_items(content, partial(_block, fetched, lacking))
    return holder if new == content else members.edit({name: new})


def _block(fetched: Mapping[str, chat.Fetched], lacking: _Lacking, block: bytes) -> bytes:
    if _URL not in block or not block.startswith(b"{"):
        return block
    members = splice.read(block)
    kind = _KINDS.get(members.raw("type") or b"")
    if kind is None:
        return _holder("content", fetched, lacking, block)  # what a tool returned
    given = members.raw("source") or b""
    new = _source(kind, fetched, lacking, given)
    return block if new == given else members.edit({"source": new})


def _source(kind: Kind, fetched: Mapping[str, chat.Fetched], lacking: _Lacking, given: bytes) -> bytes:
    if not given.startswith(b"{"):
        return given
    members = splice.read(given)
    if members.raw("type") != _URL:
        return _holder("content", fetched, lacking, given)  # a document that is made of blocks
    raw = members.raw("url") or b""
    url = _text.decode(raw) if raw.startswith(b'"') else ""
    if url not in fetched:
        lacking.append((url, kind))
        return given
    return msgspec.json.encode(blocks.write_source(attachments.source(fetched[url], url=url, kind=kind)))
