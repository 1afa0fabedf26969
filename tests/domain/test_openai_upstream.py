"""The canonical request, as an OpenAI-type upstream gets it."""

from __future__ import annotations

import pytest

from apps.domain import errors
from apps.domain.chat import (
    ChatRequest,
    Document,
    Format,
    Image,
    Message,
    Opaque,
    Reasoning,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tests.domain.openai_calls import written

HI = Message("user", (Text("hi"),))
PICTURE = Image(Source("base64", "AAAA", "image/png"))
PICTURE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = OPEN | {"required": ["a"], "additionalProperties": False}


def ask(*messages: Message, **fields) -> ChatRequest:
    return ChatRequest(model="m", messages=messages or (HI,), **fields)


def messages(*turns: Message, quirks: tuple[str, ...] = (), **fields) -> list[dict]:
    return written(ask(*turns, **fields), *quirks)["messages"]


def test_the_cap_has_the_name_the_vendor_knows_and_is_always_there():
    assert written(ask(max_tokens=5))["max_tokens"] == 5
    body = written(ask(), "max_completion_tokens")
    assert body["max_completion_tokens"] == 4096
    assert "max_tokens" not in body


def test_a_cap_beyond_the_models_own_is_lowered_to_it():
    assert written(ask(max_tokens=32000))["max_tokens"] == 4096


def test_a_stream_always_asks_for_usage_unless_the_vendor_cannot():
    body = written(ask(stream=True))
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert "stream_options" not in written(ask(stream=True), "no_stream_usage")
    assert "stream" not in written(ask())


def test_one_system_block_is_a_string_and_several_are_parts_or_joined():
    one, two = Text("one"), Text("two", {"type": "ephemeral"})
    assert messages(system=(one,))[0] == {"role": "system", "content": "one"}
    assert messages(system=(one, two))[0]["content"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
    ]
    assert messages(system=(one, two), quirks=("string_system",))[0]["content"] == "one\n\ntwo"
    assert messages(system=(one,), quirks=("developer_role",))[0]["role"] == "developer"


def test_the_attribution_block_of_claude_code_stays_here():
    block = Text("x-anthropic-billing-header: cc_version=2.1")
    assert messages(system=(block, Text("be brief")))[0] == {"role": "system", "content": "be brief"}
    assert messages(system=(block,))[0]["role"] == "user"


def test_later_instructions_keep_their_place_or_are_folded():
    late = Message("system", (Text("be brief"),))
    assert messages(HI, late)[1] == {"role": "system", "content": "be brief"}
    folded = messages(HI, late, quirks=("head_system_only", "string_content"))
    assert folded == [{"role": "user", "content": "hi\n\n<system>be brief</system>"}]
    assert len(messages(HI, Message("system", ()))) == 1


def test_nothing_stands_between_calls_and_their_results():
    calls = (ToolUse("a", "f", "{}"), ToolUse("b", "g", "{}"))
    turns = (
        Message("user", (Text("q"),)),
        Message("assistant", calls[:1]),
        Message("system", (Text("late"),)),
        Message("assistant", calls[1:]),
        Message("user", (ToolResult("a", (Text("1"),)), Text("note"))),
        Message("system", (Text("later"),)),
        Message("user", (ToolResult("b", (Text("2"),)),)),
        Message("assistant", (Text("done"),)),
    )
    sent = messages(*turns)
    assert [message["role"] for message in sent] == [
        *("user", "assistant", "tool", "tool", "user", "system", "system", "assistant")
    ]
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["a", "b"]
    assert [message["content"] for message in sent[2:7]] == ["1", "2", "note", "late", "later"]


def test_results_come_first_and_what_was_said_beside_them_stays():
    turn = Message("user", (Text("before"), ToolResult("a", (Text("1"),)), ToolResult("b", ()), Text("after")))
    assert messages(turn) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "before"}, {"type": "text", "text": "after"}]},
    ]


def test_a_failed_result_says_so():
    turn = Message("user", (ToolResult("a", (Text("no such city"),), is_error=True),))
    assert messages(turn) == [{"role": "tool", "tool_call_id": "a", "content": "Error: no such city"}]


def test_pictures_in_a_result_move_to_the_users_message_and_name_their_call():
    turn = Message("user", (ToolResult("a", (Text("see"), PICTURE)), ToolResult("b", (PICTURE,)), Text("so?")))
    first, second, said = messages(turn)
    assert first == {"role": "tool", "tool_call_id": "a", "content": "see"}
    assert second == {"role": "tool", "tool_call_id": "b", "content": "[image in the next user message]"}
    assert said["content"] == [
        {"type": "text", "text": "[image from the result of tool call a]"},
        PICTURE_PART,
        {"type": "text", "text": "[image from the result of tool call b]"},
        PICTURE_PART,
        {"type": "text", "text": "so?"},
    ]


def test_pictures_and_documents_are_parts():
    document = Document(Source("base64", "AAAA", "application/pdf"), name="a.pdf")
    picture = Image(Source("url", "https://example.com/a.png"), detail="high")
    turn = Message("user", (picture, document, Document(Source("text", "words"), name="notes")))
    assert messages(turn)[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "text", "text": "notes\n\nwords"},
    ]


def test_a_document_by_address_is_refused():
    with pytest.raises(errors.InvalidRequest):
        messages(Message("user", (Document(Source("url", "https://example.com/a.pdf")),)))


def test_an_answer_of_calls_alone_has_no_content():
    turn = Message("assistant", (ToolUse("a", "weather", ""),))
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert messages(HI, turn)[1] == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert messages(HI, turn, quirks=("no_null_content",))[1]["content"] == ""


def test_an_empty_turn_says_visibly_that_it_is_empty():
    assert messages(Message("user", (Text(""),))) == [{"role": "user", "content": "(no content)"}]
    assert messages(HI, Message("assistant", ()))[1] == {"role": "assistant", "content": ""}


def test_thinking_goes_back_only_to_vendors_that_sign_nothing():
    ours, claudes = Thinking("mine", "gw1.abc"), Thinking("claude's", "EqQB")
    turn = Message("assistant", (claudes, ours, Text("x")))
    assert messages(HI, turn)[1] == {"role": "assistant", "content": "x", "reasoning_content": "mine"}
    assert messages(HI, turn, quirks=("reasoning_field",))[1]["reasoning"] == "mine"
    assert set(messages(HI, turn, quirks=("no_reasoning_history",))[1]) == {"role", "content"}


def test_blocks_of_another_dialect_leave_their_words_and_nothing_else():
    search = Opaque("anthropic_messages", {"type": "web_search_tool_result", "content": [{"title": "T", "url": "u"}]})
    found = Opaque(
        "anthropic_messages",
        {"type": "search_result", "title": "Rivers", "content": [{"type": "text", "text": "The Rhine"}]},
    )
    assert messages(Message("user", (search, found)))[0]["content"] == "Rivers\nThe Rhine"
    assert messages(HI, Message("assistant", (search, Text("so"))))[1]["content"] == "so"


def test_only_plain_tools_go_out_without_their_makers_fields():
    mark = {"type": "ephemeral"}
    tools = (
        Tool("weather", "tells it", OPEN, cache_control=mark),
        Tool("bash", None, {}, raw={"type": "bash_20250124", "name": "bash"}),
    )
    body = written(ask(tools=tools, tool_choice=ToolChoice("any"), parallel_tools=False))
    function = {"name": "weather", "description": "tells it", "parameters": OPEN}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == "required"
    assert body["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in written(ask(tools=tools, parallel_tools=False), "no_parallel_tool_calls")


def test_a_choice_of_a_tool_that_does_not_go_out_is_dropped():
    server = Tool("bash", None, {}, raw={"type": "bash_20250124"})
    assert "tool_choice" not in written(ask(tools=(server,), tool_choice=ToolChoice("tool", "bash")))
    plain = Tool("weather", None, OPEN)
    body = written(ask(tools=(plain, server), tool_choice=ToolChoice("tool", "bash")))
    assert "tool_choice" not in body
    named = written(ask(tools=(plain,), tool_choice=ToolChoice("tool", "weather")))["tool_choice"]
    assert named == {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        (OPEN | {"additionalProperties": False}, False),
        (CLOSED | {"properties": {"a": OPEN}}, False),
        (CLOSED | {"properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        (CLOSED | {"$defs": {"x": OPEN}}, False),
        ({"type": "object", "additionalProperties": False, "required": 5}, False),
        ({"type": "object", "additionalProperties": False, "properties": [], "required": []}, False),
    ],
)
def test_strict_is_kept_only_where_the_schema_qualifies(schema, strict):
    (tool,) = written(ask(tools=(Tool("t", None, schema, strict=True),)))["tools"]
    assert tool["function"]["parameters"] == schema
    assert tool["function"].get("strict", False) is strict


def test_structured_output_is_a_response_format():
    body = written(ask(format=Format(CLOSED)))
    described = {"name": "response", "schema": CLOSED, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": described}
    assert "strict" not in written(ask(format=Format(OPEN, name="n")))["response_format"]["json_schema"]
    assert written(ask(format=Format()))["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (Reasoning(), None),
        (Reasoning(effort="xhigh"), "xhigh"),
        (Reasoning(mode="adaptive"), "high"),
        (Reasoning(mode="adaptive", effort="low"), "low"),
        (Reasoning(mode="enabled", budget=1024), "low"),
        (Reasoning(mode="enabled", budget=2000), "medium"),
        (Reasoning(mode="enabled", budget=4000), "high"),
        (Reasoning(mode="enabled", budget=4000, effort="low"), "low"),
        (Reasoning(mode="disabled"), None),
    ],
)
def test_effort_goes_before_budget(reasoning, effort):
    assert written(ask(reasoning=reasoning, max_tokens=4096)).get("reasoning_effort") == effort


def test_effort_is_what_the_model_lists():
    def effort(wanted: str, *capabilities: str) -> str | None:
        asked = ask(reasoning=Reasoning(effort=wanted))
        return written(asked, capabilities=capabilities).get("reasoning_effort")

    assert effort("max", "effort_low", "effort_medium", "effort_high") == "high"
    assert effort("minimal", "effort_low", "effort_high") == "low"
    assert effort("high", "tools", "vision") is None, "a model that does not think"
    assert effort("high", "tools", "thinking") == "high"
    assert written(ask(reasoning=Reasoning(mode="disabled")), "effort_none")["reasoning_effort"] == "none"


def test_sampling_goes_out_unless_the_model_refuses_it():
    asked = ask(temperature=0.5, top_p=0.9, top_k=4, stop=("END",))
    body = written(asked)
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["END"])
    assert "top_k" not in body
    assert "temperature" not in written(asked, capabilities=("no_sampling",))


def test_nothing_personal_goes_out_unasked():
    asked = ask(user="alice", rest={"metadata": {"user_id": "alice"}, "seed": 3})
    body = written(asked)
    assert set(body) == {"model", "messages", "max_tokens", "seed"}
    assert written(asked, "safety_identifier")["safety_identifier"] == "alice"
    assert len(written(ask(user="a" * 300), "safety_identifier")["safety_identifier"]) == 64


def test_cache_marks_are_dropped_unless_the_vendor_has_its_own():
    turn = Message("user", (Text("long", {"type": "ephemeral"}), Text("short")))
    assert messages(turn)[0]["content"][0] == {"type": "text", "text": "long"}
    marked = messages(turn, quirks=("prompt_cache_breakpoint",))[0]["content"]
    assert marked[0] == {"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}
