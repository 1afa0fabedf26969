"""A request of another dialect in Anthropic's words: PROTOCOLS A3 to A5."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.chat import (
    Document,
    Image,
    Message,
    Opaque,
    RedactedThinking,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from apps.domain.errors import InvalidRequest
from apps.domain.protocols.anthropic_messages import names
from tests.domain.anthropic_calls import asked, written

OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
CLOSED = OPEN | {"additionalProperties": False}
TOOL = Tool("weather", "tells it", OPEN)


def user(*blocks):
    return Message("user", blocks)


def assistant(*blocks):
    return Message("assistant", blocks)


def turns(*messages, capabilities=()):
    return [
        (turn["role"], [block.get("text") or block["type"] for block in turn["content"]])
        for turn in written(asked(*messages), *capabilities)["messages"]
    ]


def test_the_plainest_request():
    assert written(asked(system=(Text("be brief"),), max_tokens=7, stream=True, user="u-1")) == {
        "model": "claude-up",
        "max_tokens": 7,
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "metadata": {"user_id": "u-1"},
        "stream": True,
    }


def test_a_missing_cap_is_the_models_own_and_no_small_constant():
    assert written(asked())["max_tokens"] == 64_000


def test_a_cap_above_the_models_own_is_lowered_to_it():
    assert written(asked(max_tokens=100_000))["max_tokens"] == 64_000
    assert written(asked(max_tokens=5))["max_tokens"] == 5


def test_stream_is_absent_where_it_is_not_true():
    assert "stream" not in written(asked())


# Turns


def test_results_stand_first_in_the_order_of_their_calls_and_siblings_are_kept():
    body = written(
        asked(
            user(Text("go")),
            assistant(ToolUse("a", "f", "{}"), ToolUse("b", "f", "{}")),
            user(Text("look:"), ToolResult("b", (Text("2"),))),
            user(ToolResult("a", (Text("1"),), is_error=True), Image(Source("url", "https://x"))),
        )
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}], "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "2"}]},
        {"type": "text", "text": "look:"},
        {"type": "image", "source": {"type": "url", "url": "https://x"}},
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n\n", "\t"])
def test_blank_text_is_dropped_and_never_padded(blank):
    assert turns(user(Text(blank), Text("a")), assistant(Text(blank), ToolUse("a", "f", "")), user(Text(blank))) == [
        ("user", ["a"]),
        ("assistant", ["tool_use"]),
        ("user", ["(no content)"]),
    ]
    assert "system" not in written(asked(system=(Text(blank),)))


def test_an_empty_result_is_fine():
    body = written(asked(user(Text("x")), assistant(ToolUse("a", "f", "")), user(ToolResult("a", (Text(""),)))))
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a", "content": []}]


def test_the_user_begins_and_no_turn_is_empty():
    assert turns(assistant(Text("hi"))) == [("user", ["(no content)"]), ("assistant", ["hi"])]
    assert turns(user(Text("a")), assistant(), user(Text("b"))) == [("user", ["a", "b"])]
    assert turns(Message("system", (Text("only"),))) == [("user", ["<system>only</system>"])]


def test_instructions_in_the_middle_are_folded_where_they_stand_and_not_hoisted():
    later = Message("system", (Text("be brief"),))
    assert turns(user(Text("a")), assistant(Text("b")), later, user(Text("c"))) == [
        ("user", ["a"]),
        ("assistant", ["b"]),
        ("user", ["<system>be brief</system>", "c"]),
    ]


def test_a_model_that_takes_them_gets_them_in_place_where_its_rules_allow():
    later = Message("system", (Text("s"),))
    native = {"capabilities": ("system_messages",)}
    assert turns(user(Text("a")), later, later, **native) == [("user", ["a"]), ("system", ["s", "s"])]
    assert turns(user(Text("a")), later, assistant(Text("b")), user(Text("c")), **native)[1] == ("system", ["s"])
    assert turns(later, user(Text("a")), **native) == [("user", ["<system>s</system>", "a"])]
    assert turns(user(Text("a")), later, user(Text("b")), **native) == [("user", ["a", "<system>s</system>", "b"])]
    assert turns(user(Text("a")), Message("system", ()), user(Text("b")), **native) == [("user", ["a", "b"])]


def test_results_come_before_folded_instructions():
    assert turns(
        user(Text("a")), assistant(ToolUse("x", "f", "")), Message("system", (Text("s"),)), user(ToolResult("x", ()))
    )[2] == ("user", ["tool_result", "<system>s</system>"])


# Blocks


def test_pictures_and_documents():
    body = written(
        asked(
            user(
                Image(Source("base64", "QQ==", "image/png")),
                Document(Source("base64", "QQ==", "application/pdf"), "paper"),
                Document(Source("text", "words", "text/markdown")),
                Document(Source("url", "https://x/y.pdf")),
            )
        )
    )
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            "title": "paper",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
    ]


@pytest.mark.parametrize(
    ("arguments", "input_"),
    [("", {}), ("  ", {}), ('{"a": 1}', {"a": 1}), ("[1]", {"arguments": "[1]"}), ('{"cut', {"arguments": '{"cut'})],
)
def test_arguments_in_the_history_are_an_object_whatever_a_model_wrote(arguments, input_):
    body = written(asked(user(Text("x")), assistant(ToolUse("a", "f", arguments)), user(ToolResult("a", ()))))
    assert body["messages"][1]["content"][0]["input"] == input_


def test_cache_marks_survive():
    mark = {"type": "ephemeral"}
    body = written(asked(user(Text("a", mark)), system=(Text("s", mark),), tools=(Tool("f", None, OPEN, None, mark),)))
    assert body["messages"][0]["content"][0]["cache_control"] == mark
    assert body["system"][0]["cache_control"] == mark
    assert body["tools"][0]["cache_control"] == mark


def test_thinking_of_others_is_dropped_and_claudes_own_is_relayed_exactly():
    ours = Thinking("mine", names.sign("mine"))
    body = written(
        asked(
            user(Text("x")),
            assistant(ours, Thinking("unsigned"), Thinking("", "EqRs=="), RedactedThinking("abc"), Text("y")),
            user(Text("z")),
        )
    )
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "EqRs=="},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "y"},
    ]


def test_blocks_that_only_another_dialect_understands_are_dropped():
    body = written(asked(user(Text("x"), Opaque("openai_chat", {"type": "odd"}))))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "x"}]


# Ids of calls


def ids(call, result):
    body = written(asked(user(Text("x")), assistant(ToolUse(call, "f", "")), user(ToolResult(result, ()))))
    return body["messages"][1]["content"][0]["id"], body["messages"][2]["content"][0]["tool_use_id"]


@pytest.mark.parametrize(
    "foreign",
    ["call_abc", "toolu_1", "functions.Bash:0", "call_1|fc_2", "ä", "gwid_x", "gwnew_0", "", "x" * 65, "|" * 44],
)
def test_a_call_and_its_result_get_the_same_plain_id(foreign):
    call, result = ids(foreign, foreign)
    assert call == result
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call)


def test_a_plain_id_stays_as_it_is():
    assert ids("call_abc-1", "call_abc-1")[0] == "call_abc-1"
    assert ids("x" * 64, "x" * 64)[0] == "x" * 64


@given(st.text(), st.text())
def test_different_ids_stay_different(one, other):
    assert (names.tool_id(one, minted="1") == names.tool_id(other, minted="2")) == (one == other and one != "")


def test_calls_without_ids_are_paired_with_their_results_in_order():
    calls = assistant(ToolUse("", "f", ""), ToolUse("", "g", ""))
    body = written(
        asked(user(Text("x")), calls, user(ToolResult("", (Text("1"),)), ToolResult("", (Text("2"),))), calls)
    )
    made = [block["id"] for turn in body["messages"] for block in turn["content"] if block["type"] == "tool_use"]
    assert len(set(made)) == 4
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == made[:2]


# Tools


def test_tools_are_written_and_those_of_other_dialects_are_not():
    body = written(asked(tools=(TOOL, Tool("bare", None, {}), Tool("web", None, {}, raw={"type": "web_search"}))))
    assert body["tools"] == [
        {"name": "weather", "description": "tells it", "input_schema": OPEN},
        {"name": "bare", "input_schema": {"type": "object", "properties": {}}},
    ]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        (CLOSED | {"properties": {"inner": OPEN}}, False),
        (CLOSED | {"properties": {"list": {"type": "array", "items": CLOSED}}}, True),
        (CLOSED | {"properties": {"maybe": {"type": ["object", "null"]}}}, False),
    ],
)
def test_strict_is_kept_only_where_the_schema_qualifies(schema, strict):
    (tool,) = written(asked(tools=(Tool("f", None, schema, strict=True),)))["tools"]
    assert tool.get("strict", False) is strict
    assert tool["input_schema"] == schema


@pytest.mark.parametrize("word", ["oneOf", "anyOf", "allOf"])
def test_a_schema_that_anthropic_refuses_is_refused_naming_the_tool(word):
    with pytest.raises(InvalidRequest, match="weather") as caught:
        written(asked(tools=(Tool("weather", None, {word: [OPEN]}),)))
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("tool", "weather"), None, {"type": "tool", "name": "weather"}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_the_choice_among_tools(choice, parallel, expected):
    body = written(asked(tools=(TOOL,), tool_choice=choice, parallel_tools=parallel))
    assert body.get("tool_choice") == expected


def test_a_choice_without_tools_is_dropped():
    assert "tool_choice" not in written(asked(tool_choice=ToolChoice("any"), parallel_tools=False))
