"""Content parts: text, pictures and files, to canonical blocks and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any

from apps.domain.chat import Block, Document, Image, Opaque, Source, Text
from apps.domain.errors import InvalidRequest, TakesNoURL
from apps.domain.protocols.openai_chat import validation, wire

Content = Text | Image | Document

NOTHING_SAID = "(no content)"
"""Stands for a turn that would be empty; blank text is refused by some vendors, so it has to be visible."""

_EPHEMERAL = {"type": "ephemeral"}
_BREAKPOINT = {"mode": "explicit"}
_PARTS = "'text', 'image_url', and 'file'"
_MEDIA_TYPES = {"image/jpg": "image/jpeg"}
_SUFFIXES = {"txt": "text/plain", "md": "text/plain", "csv": "text/plain"}


def read(content: str | list[wire.Part] | None, *, at: str) -> tuple[Content, ...]:
    """Blank text is left out: vendors refuse it beside other blocks. Raises InvalidRequest, naming the part."""
    if not content:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    blocks = (_read_part(part, at=f"{at}[{position}]") for position, part in enumerate(content))
    return tuple(block for block in blocks if not isinstance(block, Text) or block.text)


def read_texts(content: str | list[wire.Part] | None, *, at: str) -> tuple[Text, ...]:
    """For roles that speak text only. Raises InvalidRequest, naming the part that is none."""
    blocks = read(content, at=at)
    for position, block in enumerate(blocks):
        if not isinstance(block, Text):
            raise validation.wrong_value(f"{at}[{position}].type", value="image or file", supported="'text'")
    return tuple(block for block in blocks if isinstance(block, Text))


def write(blocks: Iterable[Block], *, quirks: frozenset[str]) -> list[dict[str, Any]]:
    """Parts for what the dialect can say. Raises InvalidRequest for a document it cannot carry."""
    parts = (_write_part(block, quirks=quirks) for block in blocks)
    return [part for part in parts if part is not None]


def compact(parts: Sequence[dict[str, Any]], *, strings: bool, glue: str = "\n\n") -> str | list[dict[str, Any]]:
    """One plain text as a string, which every vendor takes; `strings`: several texts too, for those that take no
    arrays."""
    if all(len(part) == 2 and part["type"] == "text" for part in parts) and (strings or len(parts) <= 1):
        return glue.join(part["text"] for part in parts)
    return list(parts)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def opaque_text(raw: Any) -> str:
    """The words inside a block of another dialect (search results and the like); its machinery is left out."""
    if isinstance(raw, list):
        return "\n".join(filter(None, map(opaque_text, raw)))
    if not isinstance(raw, dict):
        return ""
    if isinstance(text := raw.get("text"), str):
        return text
    title = raw.get("title") if isinstance(raw.get("title"), str) else ""
    inner = opaque_text(raw.get("content"))
    return f"{title}\n{inner}" if title and inner else inner


def _read_part(part: wire.Part, *, at: str) -> Content:
    if part.type in ("text", "refusal"):
        cache = part.cache_control or (_EPHEMERAL if part.prompt_cache_breakpoint else None)
        return Text((part.text if part.type == "text" else part.refusal) or "", cache_control=cache)
    if part.type == "image_url" and part.image_url is not None:
        picture = part.image_url if isinstance(part.image_url, wire.ImageUrl) else wire.ImageUrl(part.image_url)
        source = read_url(picture.url, at=f"{at}.image_url.url")
        return Image(source, detail=picture.detail, cache_control=part.cache_control)
    if part.type == "file" and part.file is not None:
        return _read_file(part.file, cache=part.cache_control, at=f"{at}.file")
    if part.type in ("input_audio", "audio"):
        raise validation.unsupported(f"{at}.type", reason="this model does not take audio.")
    raise validation.wrong_value(f"{at}.type", value=part.type, supported=_PARTS)


def read_url(url: str, *, at: str) -> Source:
    if url.startswith(("https://", "http://")):
        return Source("url", url)
    if not url.startswith("data:"):
        raise InvalidRequest(f"Invalid '{at}': expected a URL, or a base64 data URL.", param=at, code="invalid_value")
    header, comma, data = url[5:].partition(",")
    media_type, *options = header.split(";")
    if not comma or "base64" not in options:
        raise InvalidRequest(f"Invalid '{at}': expected a base64 data URL.", param=at, code="invalid_value")
    return Source("base64", data, _MEDIA_TYPES.get(media_type, media_type))


def _read_file(file: wire.File, *, cache: dict[str, Any] | None, at: str) -> Document:
    if file.file_data is None:
        raise no_file(f"{at}.file_id")
    name = file.filename or ""
    return Document(read_data(file.file_data, name=name, at=f"{at}.file_data"), name=name, cache_control=cache)


def no_file(param: str) -> InvalidRequest:
    """For one that is only named: it lies at a provider, in one of its accounts."""
    return validation.unsupported(param, reason="send the file itself as 'file_data'.")


def read_data(data: str, *, name: str, at: str) -> Source:
    """A file's bytes: base64, or a data URL of it. Its kind is known by the URL, or by the end of its name."""
    if data.startswith("data:"):
        source = read_url(data, at=at)
    else:
        source = Source("base64", data, _SUFFIXES.get(name.rpartition(".")[2].lower(), "application/pdf"))
    if source.media_type.startswith("text/"):
        return Source("text", _plain(source.value, at=at), "text/plain")
    return source


def _plain(data: str, *, at: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"Invalid '{at}': not base64 of UTF-8 text.", param=at, code="invalid_value") from error


def _write_part(block: Block, *, quirks: frozenset[str]) -> dict[str, Any] | None:
    part: dict[str, Any] | None = None
    match block:
        case Text():
            part = text_part(block.text) if block.text else None
        case Image():
            picture = {"url": write_url(block.source)}
            part = {"type": "image_url", "image_url": picture | ({"detail": block.detail} if block.detail else {})}
        case Document():
            part = _write_document(block)
        case Opaque():
            words = opaque_text(block.raw)
            return text_part(words) if words else None
        case _:
            return None
    if part and block.cache_control and "prompt_cache_breakpoint" in quirks:
        part["prompt_cache_breakpoint"] = _BREAKPOINT
    return part


def write_url(source: Source) -> str:
    return source.value if source.kind == "url" else f"data:{source.media_type};base64,{source.value}"


def _write_document(block: Document) -> dict[str, Any]:
    source = block.source
    if source.kind == "text":
        return text_part(f"{block.name}\n\n{source.value}" if block.name else source.value)
    if source.kind == "url":
        raise TakesNoURL("documents")
    name = block.name or "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": write_url(source)}}
