"""What a call requires of whoever answers it, read from its body where its dialect has it: text that looks like an
image is text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from apps.domain import estimate
from apps.domain.routing import dialogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from apps.domain.protocols.contract import ClientCall
    from apps.domain.routing.dialogue import Turn


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


_typed = msgspec.json.Decoder(_Typed)
_part = msgspec.json.Decoder(_Part)
_parts = msgspec.json.Decoder(list[_Part])
_ASKING = frozenset(
    {
        "tools", "functions", "response_format", "output_format", "output_config", "text",
        "thinking", "reasoning", "reasoning_effort",
    }
)  # fmt: skip
_NOTHING = (b"null", b"[]", b"")
_SEEN = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
_READ = frozenset({"file", "input_file"})


def of(call: ClientCall, *, prompt_bytes: int, turns: Sequence[Turn] | None = None) -> Needs:
    """`prompt_bytes` as `estimate` weighs it. The body has been read by its dialect, so it is sound. `turns` None: they
    are yet to be read."""
    found = {"streaming"} if call.stream else set()
    thinks = False
    if call.protocol == "openai_embeddings":
        found.add("embeddings")
    elif fields := call.fields:
        try:
            if asked := _asked(fields):
                if "tools" in asked or "functions" in asked:
                    found.add("tools")
                if _wants_schema(asked):
                    found.add("structured_outputs")
                thinks = _wants_thinking(asked)
            found |= _attached(dialogue.turns(call) if turns is None else turns)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # what no reader of ours understands is the provider's to refuse
    return Needs(frozenset(found), thinks, estimate.input_tokens(prompt_bytes), call.max_tokens)


def _asked(fields: Mapping[str, msgspec.Raw]) -> dict[str, bytes]:
    """Of what may need an ability: most calls ask for none of it."""
    return {name: told for name in _ASKING.intersection(fields) if (told := bytes(fields[name])) not in _NOTHING}


def _wants_thinking(asked: Mapping[str, bytes]) -> bool:
    if told := asked.get("thinking"):
        return _typed.decode(told).type in ("enabled", "adaptive")
    if told := asked.get("reasoning"):
        return _typed.decode(told).effort not in (None, "none")
    return asked.get("reasoning_effort", b'"none"') != b'"none"'


def _wants_schema(asked: Mapping[str, bytes]) -> bool:
    if told := asked.get("response_format") or asked.get("output_format"):
        return _typed.decode(told).type == "json_schema"
    told = asked.get("output_config") or asked.get("text")
    wanted = _typed.decode(told).format if told else None
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"


def _attached(turns: Sequence[Turn]) -> set[str]:
    """Of vision and documents."""
    found: set[str] = set()
    for turn in turns:
        told = bytes(turn.content) or bytes(turn.output)
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
