"""What a call requires of whoever answers it, read from its body where its dialect has it: text that looks like an
image is text. Turns are decoded without their texts, which takes less than to search them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from apps.domain import estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apps.domain.protocols.contract import ClientCall


class Needs(NamedTuple):
    """`abilities` are of `abilities.MUSTS`; `thinks`: it would like to see some thinking. `tokens` are the prompt's, by
    estimate. `max_tokens` None: it says nothing of the answer's length."""

    abilities: frozenset[str] = frozenset()
    thinks: bool = False
    tokens: int = 0
    max_tokens: int | None = None


class _Typed(msgspec.Struct):
    """An object, as far as its type tells something."""

    type: str | None = None
    effort: str | None = None
    format: Any = None
    media_type: str | None = None


class _Part(msgspec.Struct):
    type: str | None = None
    source: msgspec.Raw = msgspec.Raw()  # of Anthropic's documents
    content: msgspec.Raw = msgspec.Raw()  # of a tool's result, and of what lies in a document


class _Item(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()  # of a tool, in Responses


_typed = msgspec.json.Decoder(_Typed)
_part = msgspec.json.Decoder(_Part)
_parts = msgspec.json.Decoder(list[_Part])
_items = msgspec.json.Decoder(list[_Item])
_NOTHING = (b"null", b"[]", b"")
_SEEN = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
_READ = frozenset({"file", "input_file"})


def of(call: ClientCall, *, prompt_bytes: int) -> Needs:
    """`prompt_bytes` as `estimate` weighs it. The body has been read by its dialect, so it is sound."""
    found = {"streaming"} if call.stream else set()
    thinks = False
    if call.protocol == "openai_embeddings":
        found.add("embeddings")
    elif fields := call.fields:
        try:
            if _said(fields, "tools") or _said(fields, "functions"):
                found.add("tools")
            if _wants_schema(fields):
                found.add("structured_outputs")
            thinks = _wants_thinking(fields)
            found |= _attached(fields)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # what no reader of ours understands is the provider's to refuse
    return Needs(frozenset(found), thinks, estimate.input_tokens(prompt_bytes), call.max_tokens)


def _said(fields: Mapping[str, msgspec.Raw], name: str) -> bytes:
    raw = fields.get(name)
    told = b"" if raw is None else bytes(raw)
    return b"" if told in _NOTHING else told


def _wants_thinking(fields: Mapping[str, msgspec.Raw]) -> bool:
    if told := _said(fields, "thinking"):
        return _typed.decode(told).type in ("enabled", "adaptive")
    if told := _said(fields, "reasoning"):
        return _typed.decode(told).effort not in (None, "none")
    return _said(fields, "reasoning_effort") not in (b"", b'"none"')


def _wants_schema(fields: Mapping[str, msgspec.Raw]) -> bool:
    if told := _said(fields, "response_format") or _said(fields, "output_format"):
        return _typed.decode(told).type == "json_schema"
    told = _said(fields, "output_config") or _said(fields, "text")
    wanted = _typed.decode(told).format if told else None
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"


def _attached(fields: Mapping[str, msgspec.Raw]) -> set[str]:
    """Of vision and documents."""
    found: set[str] = set()
    said = _said(fields, "messages") or _said(fields, "input")
    for item in _items.decode(said) if said.startswith(b"[") else ():
        told = bytes(item.content) or bytes(item.output)
        if told.startswith(b"["):
            found.update(_within(_parts.decode(told)))
        elif told.startswith(b"{"):
            found.update(_within([_part.decode(told)]))
        if len(found) == 2:
            break
    return found


def _within(parts: list[_Part]) -> Iterator[str]:
    for part in parts:
        if part.type in _SEEN:
            yield "vision"
        elif part.type in _READ:
            yield "documents"
        elif part.type == "document":
            yield from _document(bytes(part.source))
        elif part.type == "tool_result" and bytes(part.content).startswith(b"["):
            yield from _within(_parts.decode(part.content))


def _document(source: bytes) -> Iterator[str]:
    """A text needs no reader of documents, and what is made of parts needs what they do."""
    read = _typed.decode(source) if source.startswith(b"{") else _Typed()
    if read.type == "content":
        held = bytes(_part.decode(source).content)
        yield from _within(_parts.decode(held)) if held.startswith(b"[") else ()
    elif read.type != "text" and not (read.media_type or "").startswith("text/"):
        yield "documents"
