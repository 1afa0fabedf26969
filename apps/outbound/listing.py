"""What providers say that they have: lists of models in four shapes."""

from __future__ import annotations

from typing import Any

import msgspec

_MOST_CHARACTERS = 200


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A model and what is said of it. None: nothing. Counts are tokens; `abilities` are words of the catalog's, none:
    nothing is said. `kind`: the vendor's name of the model, where `name` is somebody's own."""

    name: str
    kind: str = ""
    label: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: tuple[str, ...] = ()


class _Entry(msgspec.Struct):
    """Of all vendors at once: each has some of it."""

    id: str = ""
    model: str = ""  # Ollama; of a deployment at Azure, which has an id besides
    model_id: str = msgspec.field(name="modelId", default="")  # Bedrock
    model_name: Any = msgspec.field(name="modelName", default=None)
    display_name: Any = None  # Anthropic
    max_input_tokens: Any = None
    max_tokens: Any = None
    context_length: Any = None  # OpenRouter
    max_model_len: Any = None  # vLLM


class _Listing(msgspec.Struct, rename="camel"):
    data: list[msgspec.Raw] = []
    models: list[msgspec.Raw] = []
    model_summaries: list[msgspec.Raw] = []


def read(body: bytes) -> tuple[Listed, ...]:
    """What cannot be read is left out."""
    try:
        listing = msgspec.json.decode(body, type=_Listing)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    rows = (*listing.data, *listing.models, *listing.model_summaries)
    return tuple(listed for row in rows if (listed := _read_one(row)) is not None)


def _read_one(row: msgspec.Raw) -> Listed | None:
    try:
        entry = msgspec.json.decode(row, type=_Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    name = entry.id or entry.model_id or entry.model
    if not name or len(name) > _MOST_CHARACTERS or not name.isprintable():
        return None
    return Listed(
        name=name,
        kind=_text(entry.model) if entry.id else "",
        label=_text(entry.display_name or entry.model_name),
        context_tokens=count(entry.max_input_tokens or entry.context_length or entry.max_model_len),
        max_output_tokens=count(entry.max_tokens),
    )


def _text(said: Any) -> str:
    return said[:_MOST_CHARACTERS] if isinstance(said, str) and said.isprintable() else ""


def count(said: Any) -> int | None:
    """Of tokens, if it can be one."""
    return said if type(said) is int and 0 < said < 2**31 else None
