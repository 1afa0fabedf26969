"""Content parts: text, pictures and files, to canonical blocks and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.domain.chat import Block, Document, Image, Opaque, Source, Text
from apps.domain.protocols.openai_chat import content as chat_content
from apps.domain.protocols.openai_responses import validation, wire

Content = Text | Image | Document
Parts = list[wire.Part]

_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_EPHEMERAL = {"type": "ephemeral"}
_SUPPORTED = "'input_text', 'input_image', 'input_file', 'output_text', and 'refusal'"


def read(raw: Any, *, at: str) -> tuple[Content, ...]:
    """A string or a list of parts. Empty text is left out. Raises InvalidRequest, naming the part."""
    if raw is None or raw == "":
        return ()
    if isinstance(raw, str):
        return (Text(raw),)
    if not isinstance(raw, list):
        raise validation.wrong_type(at, expected="a string or an array of objects", got="something else")
    parts = validation.convert(raw, Parts, at=at)
    blocks = (_read_part(part, at=f"{at}[{position}]") for position, part in enumerate(parts))
    return tuple(block for block in blocks if not isinstance(block, Text) or block.text)


def read_texts(raw: Any, *, at: str) -> tuple[Text, ...]:
    """For roles that speak text only. Raises InvalidRequest, naming the part that is none."""
    blocks = read(raw, at=at)
    for position, block in enumerate(blocks):
        if not isinstance(block, Text):
            raise validation.wrong_value(f"{at}[{position}].type", value="image or file", supported="'input_text'")
    return tuple(block for block in blocks if isinstance(block, Text))


def write(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    """Parts for what the dialect can say."""
    parts = (_write_part(block) for block in blocks)
    return [part for part in parts if part is not None]


def compact(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text as a string."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "input_text" else parts


def text_part(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _read_part(part: wire.Part, *, at: str) -> Content:
    cache = _EPHEMERAL if part.prompt_cache_breakpoint else None
    if part.type in _TEXTS or part.type == "refusal":
        field = "refusal" if part.type == "refusal" else "text"
        text = getattr(part, field)
        if text is None:
            raise validation.missing(f"{at}.{field}")
        return Text(text, cache_control=cache)
    if part.type == "input_image":
        if part.image_url is None:
            raise validation.unsupported(f"{at}.file_id", reason="send the image itself as 'image_url'.")
        source = chat_content.read_url(part.image_url, at=f"{at}.image_url")
        return Image(source, detail=part.detail, cache_control=cache)
    if part.type == "input_file":
        return Document(_read_file(part, at=at), name=part.filename or "", cache_control=cache)
    if part.type == "input_audio":
        raise validation.unsupported(f"{at}.type", reason="this model does not take audio.")
    raise validation.wrong_value(f"{at}.type", value=part.type, supported=_SUPPORTED)


def _read_file(part: wire.Part, *, at: str) -> Source:
    if part.file_data is not None:
        return chat_content.read_data(part.file_data, name=part.filename or "", at=f"{at}.file_data")
    if part.file_url is not None:
        return Source("url", part.file_url)
    raise chat_content.no_file(f"{at}.file_id")


def _write_part(block: Block) -> dict[str, Any] | None:
    match block:
        case Text(text=text):
            return text_part(text) if text else None
        case Image(source=source, detail=detail):
            return {"type": "input_image", "detail": detail or "auto", "image_url": chat_content.write_url(source)}
        case Document():
            return _write_document(block)
        case Opaque(raw=raw):
            words = chat_content.opaque_text(raw)
            return text_part(words) if words else None
    return None


def _write_document(block: Document) -> dict[str, Any]:
    source = block.source
    if source.kind == "text":
        return text_part(f"{block.name}\n\n{source.value}" if block.name else source.value)
    if source.kind == "url":
        return {"type": "input_file", "file_url": source.value}
    name = block.name or "document.pdf"
    return {"type": "input_file", "filename": name, "file_data": chat_content.write_url(source)}
