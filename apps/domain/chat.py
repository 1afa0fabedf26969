"""The canonical request and answer, shaped like Anthropic's blocks: ordered content, signed thinking.

Every dialect translates to and from this; fields that a dialect has and this does not travel in `rest`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from apps.domain.tokens import NOTHING, TokenUsage

Role = Literal["user", "assistant", "system"]
StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "context_window",
    "pause_turn",
]


class Token(msgspec.Struct, frozen=True, gc=False):
    """A token that a model might have said, and how likely it was; `bytes` None: it does not say."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class Likely(Token, frozen=True, gc=False):
    """One that it said, with those that it might have said in its place."""

    top_logprobs: list[Token] = []


class Text(msgspec.Struct, frozen=True):
    """`logprobs` of an answer's text, where they were asked for."""

    text: str
    cache_control: dict[str, Any] | None = None
    logprobs: tuple[Likely, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """Where the bytes of an image or a document are: base64 `data` with its media type, a `url`, or plain `text`."""

    kind: Literal["base64", "url", "text"]
    value: str
    media_type: str = ""


class Fetched(msgspec.Struct, frozen=True):
    """What lay at a source's URL. `content_type` as its server told it, or empty."""

    data: bytes
    content_type: str = ""


class Image(msgspec.Struct, frozen=True):
    source: Source
    detail: str | None = None
    cache_control: dict[str, Any] | None = None


class Document(msgspec.Struct, frozen=True):
    source: Source
    name: str = ""
    cache_control: dict[str, Any] | None = None


class ToolUse(msgspec.Struct, frozen=True):
    """A call the model made. `arguments` is the JSON text as the model wrote it (possibly empty)."""

    id: str
    name: str
    arguments: str
    cache_control: dict[str, Any] | None = None


class ToolResult(msgspec.Struct, frozen=True):
    tool_use_id: str
    content: tuple[Text | Image | Document, ...]
    is_error: bool = False
    cache_control: dict[str, Any] | None = None


class Thinking(msgspec.Struct, frozen=True):
    """`signature` is valid only for the vendor that made it; empty where the vendor signs nothing."""

    text: str
    signature: str = ""


class RedactedThinking(msgspec.Struct, frozen=True):
    data: str


class Opaque(msgspec.Struct, frozen=True):
    """A block only its own dialect understands, kept whole."""

    protocol: str
    raw: dict[str, Any]


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | RedactedThinking | Opaque


def size(content: Iterable[Block]) -> int:
    """Bytes of the text, thinking and arguments."""
    written = 0
    for block in content:
        match block:
            case Text(text=text) | Thinking(text=text) | ToolUse(arguments=text):
                written += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return written


class Message(msgspec.Struct, frozen=True):
    role: Role
    content: tuple[Block, ...]


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str | None
    schema: dict[str, Any]
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None
    raw: dict[str, Any] | None = None  # a server tool, understood by its own dialect only


class ToolChoice(msgspec.Struct, frozen=True):
    mode: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How hard to think. `mode` None: the caller did not say. `budget` is in tokens. `is_effort_alone`: Anthropic's
    word for how much to write at all, and no wish to think."""

    mode: Literal["enabled", "adaptive", "disabled"] | None = None
    budget: int | None = None
    effort: str | None = None
    is_effort_alone: bool = False
    display: Literal["summarized", "omitted"] | None = None  # of what is thought; None: as the model does by itself


class Format(msgspec.Struct, frozen=True):
    """Structured output: a JSON schema, or any JSON object when `schema` is None."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    reasoning: Reasoning = Reasoning()
    format: Format | None = None
    user: str | None = None
    rest: dict[str, Any] = {}


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`tier`: in what OpenAI calls a service tier it was served, where the provider tells."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    usage: TokenUsage = NOTHING
    refusal: str | None = None
    tier: str | None = None
