"""The body of `POST /v1/chat/completions`, as far as anything here reads it.

Fields that are not named are neither refused nor lost: the caller whose dialect the upstream speaks has its bytes
relayed, so what the vendor added last week still arrives.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]
Likeliest = Annotated[int, msgspec.Meta(ge=0, le=20)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Role = Literal["system", "assistant", "user", "function", "tool", "developer"]
Verbosity = Literal["low", "medium", "high"]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


class ImageUrl(msgspec.Struct, gc=False):
    url: str
    detail: str | None = None


class File(msgspec.Struct, gc=False):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class Part(msgspec.Struct):
    """One part of a message's content, of any type: vendors add types of their own."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    file: File | None = None
    cache_control: dict[str, Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class FunctionCall(msgspec.Struct, gc=False):
    name: str
    arguments: str = ""


class CustomCall(msgspec.Struct, gc=False):
    name: str
    input: str = ""


class ToolCall(msgspec.Struct):
    id: str
    type: str = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class ReasoningDetail(msgspec.Struct, gc=False):
    """The OpenRouter and Vercel shape of thinking, the one that can carry a signature."""

    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class Message(msgspec.Struct):
    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None  # a string at some vendors, an object at others
    reasoning_details: list[ReasoningDetail] | None = None
    audio: Any = None  # only whether it is there matters


class Function(msgspec.Struct):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: Function | None = None
    cache_control: dict[str, Any] | None = None


class Named(msgspec.Struct, gc=False):
    name: Name


class AllowedTool(msgspec.Struct):
    type: str = "function"
    function: Named | None = None


class AllowedTools(msgspec.Struct):
    mode: Literal["auto", "required"] = "auto"
    tools: list[AllowedTool] = []


class ToolChoice(msgspec.Struct):
    type: str = "function"
    function: Named | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class Likely(msgspec.Struct, gc=False):
    """As OpenAI takes it."""

    logprobs: bool | None = None
    top_logprobs: Likeliest | None = None


class Narrow(msgspec.Struct, gc=False):
    """What OpenAI takes of fields that other vendors of the dialect may read otherwise."""

    verbosity: Verbosity | None = None
    service_tier: Tier | None = None


class Body(msgspec.Struct):
    model: Name
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    n: Choices | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: Any = None  # vendors of this dialect differ in it: see Likely
    top_logprobs: Any = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | Named | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    audio: Any = None  # only whether it is there matters
    user: str | None = None
    safety_identifier: str | None = None
