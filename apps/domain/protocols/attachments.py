"""Pictures and documents that a request gives by URL, for upstreams that take their bytes only (PROTOCOLS A4)."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from apps.domain import chat, floats

Kind = Literal["image", "document"]
Reason = Literal["unreachable", "late", "large", "many", "image", "document"]
"""Why nothing can be done with a URL; its own kind: what lies there is not of a type that is taken for that."""

_Block = TypeVar("_Block", bound=chat.Block)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_OFFICE = "application/vnd.openxmlformats-officedocument."
_FILES = frozenset(
    {
        *("application/pdf", "application/msword", "application/vnd.ms-excel"),
        *(f"{_OFFICE}wordprocessingml.document", f"{_OFFICE}spreadsheetml.sheet"),
    }
)
_OTHER_NAMES = {"image/jpg": "image/jpeg"}
_KEYS = ("url", "image_url", "file_url")


class Unusable(Exception):
    """What lies at `url` is nothing that this kind of block can hold."""

    def __init__(self, url: str, *, kind: Kind) -> None:
        super().__init__(kind)
        self.url = url
        self.kind: Kind = kind


def urls(asked: chat.ChatRequest, *, besides: frozenset[str]) -> Counter[str]:
    """In their order, with how often each is given; not of the kinds that the upstream fetches itself."""
    blocks = (block for message in asked.messages for block in _within(message.content))
    return Counter(block.source.value for block in blocks if _is_wanted(block, besides=besides))


def placed(
    asked: chat.ChatRequest, fetched: Mapping[str, chat.Fetched], *, besides: frozenset[str]
) -> chat.ChatRequest:
    """The request with bytes where it had those URLs. Raises Unusable."""
    messages = tuple(
        chat.Message(message.role, tuple(_placed(block, fetched, besides=besides) for block in message.content))
        for message in asked.messages
    )
    return msgspec.structs.replace(asked, messages=messages)


def source(found: chat.Fetched, *, url: str, kind: Kind) -> chat.Source:
    """What lay at `url`, as an image or a document. Its own first bytes say what it is; where they do not, its server
    does. Raises Unusable."""
    media_type = _by_magic(found.data) or _as_told(found.content_type)
    if media_type in (_IMAGES if kind == "image" else _FILES):
        return chat.Source("base64", base64.b64encode(found.data).decode(), media_type)
    text = _text(found.data) if kind == "document" and not media_type else None
    if text is None:
        raise Unusable(url, kind=kind)
    return chat.Source("text", text, "text/plain")


def prompt_bytes(found: chat.Fetched) -> int:
    """What it weighs as prompt, as in a body: a file in base64, a text as it is. A picture is weighed by its URL."""
    media_type = _by_magic(found.data) or _as_told(found.content_type)
    if media_type in _IMAGES:
        return 0
    size = len(found.data)
    return -(-size // 3) * 4 if media_type else size


def place(body: bytes, url: str) -> tuple[str | int, ...]:
    """Where in a request's body the URL is given first; () where it is not found."""
    try:
        return _place(floats.decode(body), url, at=()) or ()
    except msgspec.DecodeError:  # a number beyond 64 bits stands somewhere in it, which nobody else minds
        return ()


def _within(content: Iterable[chat.Block]) -> Iterator[chat.Image | chat.Document]:
    for block in content:
        match block:
            case chat.ToolResult(content=inner):
                yield from _within(inner)
            case chat.Image() | chat.Document():
                yield block


def _is_wanted(block: chat.Image | chat.Document, *, besides: frozenset[str]) -> bool:
    return block.source.kind == "url" and _kind(block) not in besides


def _placed(block: _Block, fetched: Mapping[str, chat.Fetched], *, besides: frozenset[str]) -> _Block:
    if isinstance(block, chat.ToolResult):
        content = tuple(_placed(inner, fetched, besides=besides) for inner in block.content)
        return msgspec.structs.replace(block, content=content)
    if isinstance(block, chat.Image | chat.Document) and _is_wanted(block, besides=besides):
        url = block.source.value
        if url in fetched:
            return msgspec.structs.replace(block, source=source(fetched[url], url=url, kind=_kind(block)))
    return block


def _kind(block: chat.Image | chat.Document) -> Kind:
    return "image" if isinstance(block, chat.Image) else "document"


def _by_magic(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in _MAGIC if data.startswith(magic)), "")


def _as_told(content_type: str) -> str:
    """ "" for whatever else it says: no caller is told a stranger's words."""
    plain = content_type.partition(";")[0].strip().lower()
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in _IMAGES or plain in _FILES else ""


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if text.strip() and "\0" not in text else None


def _place(raw: Any, url: str, *, at: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    members = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    for name, value in members:
        if value == url and name in _KEYS:
            return (*at, name)
        if (found := _place(value, url, at=(*at, name))) is not None:
            return found
    return None
