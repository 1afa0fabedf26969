"""Content blocks, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import chat, errors, floats
from apps.domain.protocols.anthropic_messages import validation, wire

NAME = "anthropic_messages"


def read_content(content: str | list[wire.Object], *, at: str) -> tuple[chat.Block, ...]:
    """A turn's content; `at` is its place in the request. Raises InvalidRequest naming the field."""
    if isinstance(content, str):
        return (chat.Text(content),) if content else ()
    return tuple(_read(block, at=f"{at}.{position}") for position, block in enumerate(content))


def read_texts(content: str | list[wire.Object], *, at: str) -> tuple[chat.Text, ...]:
    """The text of a system prompt or message; directives and tool additions in it are left out. Raises InvalidRequest
    for what is to be seen, and cannot be in a text."""
    found = read_content(content, at=at)
    for position, block in enumerate(found):
        if not isinstance(block, (chat.Text, chat.Opaque)):
            raise validation.invalid(f"{at}.{position}.type", "Input should be 'text'")
    return tuple(block for block in found if isinstance(block, chat.Text))


def write(block: chat.Block) -> wire.Object | None:
    """None for a block that Anthropic cannot take: empty text, another dialect's own, unsigned thinking."""
    match block:
        case chat.Text(text=text, cache_control=mark):
            return _marked({"type": "text", "text": text}, mark) if text.strip() else None
        case chat.Image(source=source, cache_control=mark):
            return _marked({"type": "image", "source": write_source(source)}, mark)
        case chat.Document(source=source, name=name, cache_control=mark):
            raw: wire.Object = {"type": "document", "source": write_source(source)}
            return _marked(raw | ({"title": name} if name else {}), mark)
        case chat.ToolUse(id=id_, name=name, arguments=arguments, cache_control=mark):
            return _marked({"type": "tool_use", "id": id_, "name": name, "input": _history_input(arguments)}, mark)
        case chat.ToolResult():
            return _write_result(block)
        case chat.Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature} if signature else None
        case chat.RedactedThinking(data=data):
            return {"type": "redacted_thinking", "data": data}
        case chat.Opaque(protocol=protocol, raw=raw):
            return raw if protocol == NAME else None


def write_input(arguments: str) -> msgspec.Raw:
    """Arguments as the model wrote them. Raises UpstreamBroken when they are no JSON object."""
    if not is_object(arguments):
        raise errors.UpstreamBroken("the provider's tool call has arguments that are no JSON object")
    return msgspec.Raw(arguments.encode() if arguments.strip() else b"{}")


def is_object(arguments: str) -> bool:
    """Blank arguments stand for an empty object."""
    try:
        return not arguments.strip() or isinstance(floats.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _read(raw: wire.Object, *, at: str) -> chat.Block:
    match raw.get("type"):
        case "text":
            text = validation.convert(raw, wire.TextBlock, at=at)
            return chat.Text(text.text, text.cache_control)
        case "image":
            return _read_image(raw, at=at)
        case "document":
            return _read_document(raw, at=at)
        case "tool_use":
            call = validation.convert(raw, wire.ToolUseBlock, at=at)
            return chat.ToolUse(call.id, call.name, msgspec.json.encode(call.input).decode(), call.cache_control)
        case "tool_result":
            result = validation.convert(raw, wire.ToolResultBlock, at=at)
            content = _read_result(result.content or "", at=f"{at}.content")
            return chat.ToolResult(result.tool_use_id, content, bool(result.is_error), result.cache_control)
        case "thinking":
            thinking = validation.convert(raw, wire.ThinkingBlock, at=at)
            return chat.Thinking(thinking.thinking, thinking.signature)
        case "redacted_thinking":
            return chat.RedactedThinking(validation.convert(raw, wire.RedactedBlock, at=at).data)
        case "search_result":
            return _read_search_result(raw, at=at)
        case str():
            return chat.Opaque(NAME, raw)
        case _:
            raise validation.invalid(f"{at}.type", "Field required")


def _read_image(raw: wire.Object, *, at: str) -> chat.Block:
    image = validation.convert(raw, wire.ImageBlock, at=at)
    if image.source.type in ("text", "content"):
        raise validation.invalid(f"{at}.source.type", "Input should be 'base64', 'url' or 'file'")
    source = _read_source(image.source, at=f"{at}.source")
    return chat.Image(source, cache_control=image.cache_control)


def _read_document(raw: wire.Object, *, at: str) -> chat.Block:
    document = validation.convert(raw, wire.DocumentBlock, at=at)
    source = _read_source(document.source, at=f"{at}.source")
    return chat.Document(source, document.title or "", document.cache_control)


def _read_source(source: wire.Source, *, at: str) -> chat.Source:
    match source.type:
        case "base64":
            media_type = _given(source.media_type, at=f"{at}.media_type")
            return chat.Source("base64", _given(source.data, at=f"{at}.data"), media_type)
        case "url":
            return chat.Source("url", _read_url(source.url, at=f"{at}.url"), source.media_type)
        case "text":
            return chat.Source("text", source.data, source.media_type or "text/plain")
        case "content":
            texts = read_texts(source.content or "", at=f"{at}.content")
            return chat.Source("text", "\n".join(text.text for text in texts), "text/plain")
        case "file":
            raise validation.invalid(f"{at}.file_id", "a file that lies at Anthropic cannot be sent to this model")
    raise validation.invalid(f"{at}.type", f"Input tag '{source.type[:100]}' does not match any of the expected tags")


def _read_url(url: str, *, at: str) -> str:
    if not _given(url, at=at).lower().startswith(("https://", "http://")):
        raise validation.invalid(at, "Only HTTPS URLs are supported.")
    return url


def _given(value: str, *, at: str) -> str:
    if not value:
        raise validation.invalid(at, "Field required")
    return value


def _read_result(content: str | list[wire.Object], *, at: str) -> tuple[chat.Text | chat.Image | chat.Document, ...]:
    kept = (chat.Text, chat.Image, chat.Document)
    return tuple(block for block in read_content(content, at=at) if isinstance(block, kept))


def _read_search_result(raw: wire.Object, *, at: str) -> chat.Text:
    found = validation.convert(raw, wire.SearchResultBlock, at=at)
    texts = [text.text for text in read_texts(found.content, at=f"{at}.content")]
    return chat.Text("\n".join([line for line in (found.title, found.source) if line] + texts))


def write_source(source: chat.Source) -> wire.Object:
    match source.kind:
        case "url":
            return {"type": "url", "url": source.value}
        case "text":
            return {"type": "text", "media_type": "text/plain", "data": source.value}
        case "base64":
            return {"type": "base64", "media_type": source.media_type, "data": source.value}


def _write_result(result: chat.ToolResult) -> wire.Object:
    content = [written for block in result.content if (written := write(block)) is not None]
    raw: wire.Object = {"type": "tool_result", "tool_use_id": result.tool_use_id, "content": content}
    return _marked(raw | ({"is_error": True} if result.is_error else {}), result.cache_control)


def _history_input(arguments: str) -> Any:
    """What a model wrote as arguments and no object could be made of stays readable to the next one."""
    return write_input(arguments) if is_object(arguments) else {"arguments": arguments}


def _marked(raw: wire.Object, cache_control: wire.Object | None) -> wire.Object:
    return raw if cache_control is None else raw | {"cache_control": cache_control}
