"""A request of another dialect in Anthropic's words: PROTOCOLS A2 to A7."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain.chat import (
    Document,
    Format,
    Image,
    Message,
    Opaque,
    Reasoning,
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
FORCED = {"type": "tool", "name": names.FORMAT_TOOL}


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
    assert written(asked())["max_tokens"] == 4096


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
    "foreign", ["call_abc", "toolu_1", "functions.Bash:0", "call_1|fc_2", "ä", "gwid_x", "gwnew_0", ""]
)
def test_a_call_and_its_result_get_the_same_plain_id(foreign):
    call, result = ids(foreign, foreign)
    assert call == result
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", call)


def test_a_plain_id_stays_as_it_is():
    assert ids("call_abc-1", "call_abc-1")[0] == "call_abc-1"


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
    assert caught.value.param == "tools.0"


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


# Sampling


def test_sampling_is_clamped_and_blank_stop_strings_are_dropped():
    body = written(asked(temperature=1.7, top_p=0.5, top_k=3, stop=("END", "\n", " ")))
    assert (body["temperature"], body["top_p"], body["top_k"], body["stop_sequences"]) == (1.0, 0.5, 3, ["END"])
    assert "stop_sequences" not in written(asked(stop=("\n",)))


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-fable-5", "claude-opus-5-20270101"])
def test_sampling_is_left_out_for_models_that_refuse_it(model):
    body = written(asked(temperature=0.5, top_p=0.5, top_k=3), model=model)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert "temperature" in written(asked(temperature=0.5), model="claude-sonnet-4-6")
    assert "temperature" not in written(asked(temperature=0.5), "no_sampling", model="claude-sonnet-4-6")


def test_sampling_gives_way_to_thinking():
    body = written(asked(temperature=0.5, reasoning=Reasoning(effort="low")), "adaptive_thinking")
    assert "temperature" not in body


# Thinking


@pytest.mark.parametrize(
    ("effort", "thinking", "config"),
    [
        (None, None, None),
        ("none", {"type": "disabled"}, None),
        ("minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("low", {"type": "adaptive"}, {"effort": "low"}),
        ("medium", {"type": "adaptive"}, {"effort": "medium"}),
        ("high", {"type": "adaptive"}, {"effort": "high"}),
        ("xhigh", {"type": "adaptive"}, {"effort": "high"}),
        ("max", {"type": "adaptive"}, {"effort": "max"}),
    ],
)
def test_effort_for_a_model_that_thinks_adaptively(effort, thinking, config):
    body = written(asked(reasoning=Reasoning(effort=effort)), model="claude-opus-4-6")
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)


def test_effort_is_stepped_down_to_what_the_model_lists():
    def effort(wanted, *listed):
        request = asked(reasoning=Reasoning(effort=wanted))
        return written(request, "adaptive_thinking", *listed)["output_config"]["effort"]

    assert effort("max") == "high"
    assert effort("xhigh", "effort_low", "effort_xhigh") == "xhigh"
    assert effort("medium", "effort_low", "effort_max") == "low"
    assert effort("low", "effort_medium", "effort_high") == "medium"


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        ("minimal", 20_000, 2000),
        ("low", 20_000, 4000),
        ("medium", 20_000, 10_000),
        ("high", 20_000, 16_000),
        ("xhigh", 20_000, 19_000),
        ("max", 20_000, 19_000),
        ("low", 2000, 1024),
        ("max", 1030, 1024),
        ("max", 1025, 1024),
        ("max", 1024, None),
        ("none", 20_000, None),
        (None, 20_000, None),
    ],
)
def test_effort_for_a_model_that_thinks_by_budget(effort, max_tokens, budget):
    body = written(asked(reasoning=Reasoning(effort=effort), max_tokens=max_tokens), model="claude-sonnet-4-5-20250929")
    assert body.get("thinking") == (budget and {"type": "enabled", "budget_tokens": budget})
    assert "output_config" not in body


def test_a_model_that_always_thinks_is_not_told_to_stop():
    assert "thinking" not in written(asked(reasoning=Reasoning(effort="none")), model="claude-fable-5")


def test_a_model_that_cannot_think_is_not_asked_to():
    assert "thinking" not in written(asked(reasoning=Reasoning(effort="high")), model="claude-3-5-haiku-latest")


@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "weather")])
def test_a_forced_tool_wins_over_budgeted_thinking_and_lives_with_adaptive(choice):
    request = asked(tools=(TOOL,), tool_choice=choice, reasoning=Reasoning(effort="high"), max_tokens=9000)
    budgeted = written(request, model="claude-sonnet-4-5")
    assert "thinking" not in budgeted
    assert budgeted["tool_choice"]["type"] == choice.mode
    assert written(request, model="claude-opus-4-6")["thinking"] == {"type": "adaptive"}


def test_budgeted_thinking_is_off_in_an_answer_that_began_without():
    def thinks(*first):
        history = (user(Text("x")), assistant(*first, ToolUse("a", "f", "")), user(ToolResult("a", ())))
        request = asked(*history, reasoning=Reasoning(effort="high"), max_tokens=9000)
        return "thinking" in written(request, model="claude-sonnet-4-5")

    assert not thinks()
    assert not thinks(Thinking("foreign", names.sign("foreign")))
    assert thinks(Thinking("own", "EqRs=="))
    assert thinks(RedactedThinking("abc"))


# Structured output


def test_a_schema_is_native_where_the_model_has_it():
    body = written(asked(format=Format(CLOSED)), model="claude-sonnet-4-5")
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    both = written(asked(format=Format(CLOSED), reasoning=Reasoning(effort="low")), model="claude-opus-4-6")
    assert both["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}}


@pytest.mark.parametrize(("schema", "model"), [(CLOSED, "claude-3-haiku"), (OPEN, "claude-sonnet-4-5")])
def test_elsewhere_it_is_a_tool_that_must_be_called(schema, model):
    body = written(asked(format=Format(schema)), model=model)
    assert body["tools"][0]["input_schema"] == schema
    assert body["tool_choice"] == FORCED
    assert "output_config" not in body


def test_beside_the_callers_own_tools_some_tool_must_be_called():
    body = written(asked(format=Format(OPEN), tools=(TOOL,)))
    assert [tool["name"] for tool in body["tools"]] == ["weather", names.FORMAT_TOOL]
    assert body["tool_choice"] == {"type": "any"}
    own = written(asked(format=Format(OPEN), tools=(TOOL,), tool_choice=ToolChoice("tool", "weather")))
    assert own["tool_choice"] == {"type": "tool", "name": "weather"}


def test_any_json_object_is_asked_for_in_words():
    body = written(asked(format=Format(), system=(Text("s"),)))
    assert len(body["system"]) == 2
    assert "JSON" in body["system"][1]["text"]


def test_nothing_of_the_other_dialects_own_fields_goes_out():
    body = written(asked(rest={"logit_bias": {}, "seed": 1, "store": True, "prediction": {}}))
    assert set(body) == {"model", "max_tokens", "messages"}
