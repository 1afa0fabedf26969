"""The body of `POST /v1/responses`, as far as anything here reads it.

Items and tools are of many types, and of more every month: their fields are read when they have to be translated, and
the caller whose dialect the upstream speaks has its bytes relayed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from apps.domain.protocols.openai_chat.wire import Tier, Verbosity

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Object = dict[str, Any]
LeastCap = Annotated[int, msgspec.Meta(ge=16)]
Truncation = Literal["auto", "disabled"]
Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]


class Part(msgspec.Struct):
    """One part of a content, of any type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: Object | None = None


class Said(msgspec.Struct):
    """Part of a reasoning item."""

    text: str = ""


class Item(msgspec.Struct):
    """One item of the input. What a field must be hangs on the type, so it is checked by who reads it."""

    type: str | None = None
    role: str | None = None
    id: Any = None
    content: Any = None
    call_id: Any = None
    name: Any = None
    namespace: Any = None
    arguments: Any = None
    input: Any = None
    output: Any = None
    action: Any = None
    operation: Any = None
    summary: Any = None
    encrypted_content: Any = None
    tools: Any = None


class CustomFormat(msgspec.Struct):
    type: str = "text"
    syntax: str = ""
    definition: str = ""


class Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: Object | None = None
    strict: bool | None = None
    format: CustomFormat | None = None  # of a custom tool
    tools: list[Tool] | None = None  # of a namespace
    server_label: str | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str = "auto"
    tools: list[ToolChoice] | None = None


class TextFormat(msgspec.Struct, omit_defaults=True):
    type: str
    name: str | None = None
    schema: Object | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None  # its old name


class NarrowText(msgspec.Struct, gc=False):
    verbosity: Verbosity | None = None


class Narrow(msgspec.Struct):
    """What OpenAI takes of fields of which a relay is no judge."""

    max_output_tokens: LeastCap | None = None
    include: list[Includable] | None = None
    service_tier: Tier | None = None
    truncation: Truncation | None = None
    text: NarrowText | None = None


class Body(msgspec.Struct):
    model: Name
    input: str | list[Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    top_logprobs: Any = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None  # only whether it is there matters
    prompt: Any = None
