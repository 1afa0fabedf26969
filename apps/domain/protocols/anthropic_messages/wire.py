"""What Anthropic's JSON looks like, as far as it is read. Unknown fields pass: bodies are open lists.

`Body` is read of every request, and only as deep as admission needs. The blocks are read when a request is translated.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from apps.domain.protocols.splice import Members

Object = dict[str, Any]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Typed(msgspec.Struct):
    """Anything that is told apart by its `type`."""

    type: str


class Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Typed]


class Metadata(msgspec.Struct):
    user_id: str | None = None


class Anything(msgspec.Struct):
    """Any object."""


class Prompt(msgspec.Struct):
    """A request whose tokens are counted."""

    model: Text
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    system: str | list[Typed] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    metadata: Metadata | None = None
    tools: list[Anything] | None = None
    tool_choice: Typed | None = None
    thinking: Typed | None = None


class Body(Prompt, kw_only=True):
    """A request that is answered."""

    max_tokens: Count


class Wire(msgspec.Struct, frozen=True):
    """A request as read: its fields, and where they lie in the bytes."""

    body: Prompt
    members: Members


class Thinking(msgspec.Struct):
    type: str
    budget_tokens: Count | None = None
    display: str | None = None


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: Object | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Object | None = None
    strict: bool | None = None
    cache_control: Object | None = None


class DeepMessage(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Object]


class DeepBody(msgspec.Struct):
    """The whole request, for translation."""

    model: str
    messages: list[DeepMessage]
    max_tokens: int | None = None
    stream: bool | None = None
    system: str | list[Object] | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    metadata: Metadata | None = None
    tools: list[Object] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Object | None = None


class TextBlock(msgspec.Struct):
    text: str
    cache_control: Object | None = None


class Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Object] | None = None


class ImageBlock(msgspec.Struct):
    source: Source
    cache_control: Object | None = None


class DocumentBlock(msgspec.Struct):
    source: Source
    title: str | None = None
    cache_control: Object | None = None


class ToolUseBlock(msgspec.Struct):
    id: str
    name: Text
    input: Object
    cache_control: Object | None = None


class ToolResultBlock(msgspec.Struct):
    tool_use_id: str
    content: str | list[Object] | None = None
    is_error: bool | None = None
    cache_control: Object | None = None


class ThinkingBlock(msgspec.Struct):
    thinking: str
    signature: str = ""


class RedactedBlock(msgspec.Struct):
    data: str


class SearchResultBlock(msgspec.Struct):
    title: str = ""
    source: str = ""
    content: list[Object] = []
