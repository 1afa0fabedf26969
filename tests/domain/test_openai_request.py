"""A client's request in OpenAI's dialect, as the canonical one."""

from __future__ import annotations

import base64

import msgspec
import pytest

from apps.domain import errors
from apps.domain.chat import (
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    RedactedThinking,
    Source,
    Text,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tests.domain.openai_calls import HELLO, chat

PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def asked(*identities: str) -> dict:
    """An assistant message that calls the weather once for every id."""
    calls = [{"id": i, "type": "function", "function": {"name": "weather", "arguments": "{}"}} for i in identities]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def answered(identity: str, content="sunny") -> dict:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def turns(*messages: dict) -> tuple[Message, ...]:
    return chat(messages=list(messages)).messages


def test_instructions_at_the_head_become_the_system_prompt_and_later_ones_stay():
    read = chat(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "developer", "content": [{"type": "text", "text": "two"}]},
            *HELLO,
            {"role": "assistant", "content": "hi"},
            {"role": "system", "content": "three"},
        ]
    )
    assert read.system == (Text("one"), Text("two"))
    assert [turn.role for turn in read.messages] == ["user", "assistant", "system"]
    assert read.messages[2].content == (Text("three"),)


def test_instructions_alone_are_what_the_user_says():
    read = chat(messages=[{"role": "system", "content": "write a poem"}])
    assert read.system == ()
    assert read.messages == (Message("user", (Text("write a poem"),)),)


def test_results_and_the_user_behind_them_are_one_turn_in_the_order_of_the_calls():
    read = turns(*HELLO, asked("a", "b"), answered("b", "2"), answered("a", "1"), {"role": "user", "content": "and?"})
    assert len(read) == 3
    assert read[2] == Message("user", (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),)), Text("and?")))


def test_results_of_two_rounds_stay_apart():
    read = turns(*HELLO, asked("a"), answered("a"), asked("b"), answered("b"))
    assert [turn.role for turn in read] == ["user", "assistant", "user", "assistant", "user"]


def test_a_result_may_hold_parts_and_pictures():
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}}]
    (result,) = turns(*HELLO, asked("a"), answered("a", parts))[2].content
    assert result.content == (Text("look"), Image(Source("base64", "iVBORw0KGgo=", "image/png")))


def test_blank_text_is_left_out():
    parts = [{"type": "text", "text": ""}, {"type": "text", "text": "x"}]
    assert turns({"role": "user", "content": parts})[0].content == (Text("x"),)
    assert turns(*HELLO, {"role": "assistant", "content": ""})[1].content == ()


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (PNG, Source("base64", "iVBORw0KGgo=", "image/png")),
        ("data:image/jpg;base64,AAAA", Source("base64", "AAAA", "image/jpeg")),
        ("data:image/png;name=x;base64,AAAA", Source("base64", "AAAA", "image/png")),
        ("https://example.com/a.png", Source("url", "https://example.com/a.png")),
    ],
)
def test_pictures_come_as_data_or_by_address(url, source):
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert turns({"role": "user", "content": [part]})[0].content == (Image(source, detail="low"),)


def test_a_data_url_that_is_not_base64_is_refused():
    with pytest.raises(errors.InvalidRequest) as caught:
        turns({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:text/plain,hello"}}]})
    assert caught.value.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("file", "document"),
    [
        (
            {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            Document(Source("base64", "AAAA", "application/pdf"), name="a.pdf"),
        ),
        ({"file_data": "AAAA"}, Document(Source("base64", "AAAA", "application/pdf"))),
        (
            {"filename": "a.txt", "file_data": base64.b64encode("grüße".encode()).decode()},
            Document(Source("text", "grüße", "text/plain"), name="a.txt"),
        ),
    ],
)
def test_files_become_documents(file, document):
    assert turns({"role": "user", "content": [{"type": "file", "file": file}]})[0].content == (document,)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "messages[0].content[0].file.file_id",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning_effort": "heroic"}, "reasoning_effort"),
    ],
)
def test_what_no_other_dialect_can_do_is_refused_by_name(fields, param):
    with pytest.raises(errors.InvalidRequest) as caught:
        chat(**fields)
    assert caught.value.param == param


def test_calls_and_their_thinking_are_kept():
    message = asked("a") | {"content": "let me see", "reasoning_content": "hmm"}
    result = {"role": "tool", "tool_call_id": "a", "content": "sunny"}
    assert turns(*HELLO, message, result)[1].content == (
        Thinking("hmm"),
        Text("let me see"),
        ToolUse("a", "weather", "{}"),
    )


def test_signed_thinking_comes_back_signed():
    details = [
        {"type": "reasoning.text", "text": "hmm", "signature": "sig", "index": 0},
        {"type": "reasoning.encrypted", "data": "opaque", "index": 1},
    ]
    message = {"role": "assistant", "content": "x", "reasoning_content": "hmm", "reasoning_details": details}
    assert turns(*HELLO, message)[1].content[:2] == (Thinking("hmm", "sig"), RedactedThinking("opaque"))


def test_functions_that_came_before_tools_still_work():
    read = chat(
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "sunny"},
        ],
        functions=[{"name": "weather", "parameters": {"type": "object"}}],
        function_call={"name": "weather"},
    )
    call, result = read.messages[1].content[0], read.messages[2].content[0]
    assert isinstance(call, ToolUse)
    assert isinstance(result, ToolResult)
    assert call.id == result.tool_use_id
    assert read.tools[0].name == "weather"
    assert read.tool_choice == ToolChoice("tool", "weather")
    assert read.parallel_tools is False


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "weather"}}, ToolChoice("tool", "weather")),
    ],
)
def test_tool_choices_have_canonical_names(given, read):
    assert chat(tools=[WEATHER], tool_choice=given).tool_choice == read
    assert chat(tool_choice=given).tool_choice is None, "a choice among no tools"


def test_an_allowed_subset_is_all_the_model_sees():
    other = {"type": "function", "function": {"name": "time"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}
    read = chat(tools=[WEATHER, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [tool.name for tool in read.tools] == ["time"]
    assert read.tool_choice == ToolChoice("any")


def test_the_rest_of_the_request_is_read():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    read = chat(
        max_completion_tokens=9,
        temperature=1,
        top_p=0.5,
        stop="END",
        parallel_tool_calls=False,
        reasoning_effort="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
        user="alice",
        seed=4,
        stream=True,
    )
    assert (read.max_tokens, read.temperature, read.top_p, read.stop) == (9, 1, 0.5, ("END",))
    assert (read.parallel_tools, read.user, read.stream) == (False, "alice", True)
    assert read.reasoning == Reasoning(effort="low", display="summarized")
    assert read.format == Format(schema, name="n", strict=True)
    assert read.rest == {"seed": msgspec.Raw(b"4")}
    assert chat(stop=["a", "b"]).stop == ("a", "b")
    assert chat(reasoning_effort="none").reasoning == Reasoning(mode="disabled")
    assert chat(response_format={"type": "text"}).format is None
    assert chat(response_format={"type": "json_object"}).format == Format()
