"""What an Ollama server is asked."""

from __future__ import annotations

import pytest

from apps.domain import errors
from apps.domain.chat import (
    Document,
    Format,
    Image,
    Message,
    Reasoning,
    Source,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from tests.domain.ollama_calls import chat, written

PICTURE = Image(Source("base64", "iVBORw0KGgo=", "image/png"))
TOOLS = (Tool("look", "Looks.", {"type": "object"}), Tool("leap", None, {}))


def test_stream_window_and_cut_are_always_said():
    body = written(chat(stream=False, max_tokens=99_999))
    assert body["stream"] is False
    assert body["truncate"] is False
    assert body["options"] == {"num_ctx": 32768, "num_predict": 4096}
    assert written(chat(stream=True))["stream"] is True


def test_options_go_by_ollamas_names():
    asked = chat(temperature=0.5, top_p=0.9, top_k=7, stop=("END",), max_tokens=9, rest={"seed": 3, "x": 1})
    options = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "stop": ["END"], "num_predict": 9, "seed": 3}
    assert written(asked)["options"] == options | {"num_ctx": 32768}
    assert "temperature" not in written(asked, capabilities=("no_sampling",))["options"]


def test_system_prompts_become_messages_and_the_attribution_is_left_out():
    system = (Text("x-anthropic-billing-header: cc"), Text("be brief"), Text("be kind"))
    asked = chat(Message("user", (Text("a"),)), Message("system", (Text("now in French"),)), system=system)
    assert written(asked)["messages"] == [
        {"role": "system", "content": "be brief\n\nbe kind"},
        {"role": "user", "content": "a"},
        {"role": "system", "content": "now in French"},
    ]


def test_pictures_are_bare_base64_beside_the_text():
    body = written(chat(Message("user", (Text("what"), PICTURE, Text("is this?")))))
    assert body["messages"] == [{"role": "user", "content": "what\nis this?", "images": ["iVBORw0KGgo="]}]


def test_a_tools_round_trip_keeps_arguments_as_objects_and_names_the_tool():
    turns = (
        Message("assistant", (Thinking("hm"), Text("I look"), ToolUse("call_1", "look", '{"at": 1}'))),
        Message("user", (Text("go on"), ToolResult("call_1", (Text("a cat"), PICTURE), is_error=True))),
    )
    call = {"id": "call_1", "function": {"index": 0, "name": "look", "arguments": {"at": 1}}}
    assert written(chat(*turns))["messages"] == [
        {"role": "assistant", "content": "I look", "thinking": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "Error: a cat", "tool_name": "look", "tool_call_id": "call_1"},
        {
            "role": "user",
            "content": "[image from the result of tool call call_1]\ngo on",
            "images": ["iVBORw0KGgo="],
        },
    ]


def test_thinking_that_another_vendor_signed_stays_away():
    signed = Message("assistant", (Thinking("deep", "EqQB"), Text("so"), ToolUse("a", "look", "")))
    ours = Message("assistant", (Thinking("deep", "gw1.abc"), Text("so")))
    assert "thinking" not in written(chat(signed))["messages"][0]
    assert written(chat(ours))["messages"][0]["thinking"] == "deep"


def test_an_empty_turn_says_so():
    assert written(chat(Message("user", ())))["messages"] == [{"role": "user", "content": "(no content)"}]


@pytest.mark.parametrize(
    ("choice", "offered"),
    [
        (None, ["look", "leap"]),
        (ToolChoice("auto"), ["look", "leap"]),
        (ToolChoice("any"), ["look", "leap"]),
        (ToolChoice("tool", "leap"), ["leap"]),
        (ToolChoice("none"), []),
    ],
)
def test_the_choice_of_tools_is_made_by_what_is_offered(choice, offered):
    body = written(chat(tools=TOOLS, tool_choice=choice))
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == offered


def test_another_vendors_server_tools_are_left_out():
    server = Tool("web_search", None, {}, raw={"type": "web_search_20250305", "name": "web_search"})
    assert "tools" not in written(chat(tools=(server,)))


def test_formats_are_json_or_the_schema():
    assert written(chat(format=Format()))["format"] == "json"
    assert written(chat(format=Format({"type": "object"}, name="x")))["format"] == {"type": "object"}
    assert "format" not in written(chat())


@pytest.mark.parametrize(
    ("effort", "think"),
    [
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "max"),
        ("max", "max"),
        ("none", False),
    ],
)
def test_efforts_are_levels_of_thinking(effort, think):
    assert written(chat(reasoning=Reasoning(effort=effort)))["think"] == think


def test_the_level_stays_within_what_the_model_has():
    assert written(chat(reasoning=Reasoning(effort="max")), model="gpt-oss:20b")["think"] == "high"


@pytest.mark.parametrize(
    ("reasoning", "capabilities", "think"),
    [
        (Reasoning(), (), None),
        (Reasoning("disabled"), (), False),
        (Reasoning("disabled"), ("always_thinking",), None),
        (Reasoning("adaptive"), (), None),
        (Reasoning("adaptive", effort="high"), (), None),
        (Reasoning("adaptive", effort="high"), ("budget_thinking",), "high"),
        (Reasoning("enabled"), (), True),
        (Reasoning("enabled", budget=400), (), "low"),
        (Reasoning("enabled", budget=2000), (), "medium"),
        (Reasoning("enabled", budget=4000), (), "max"),
        (Reasoning("enabled", budget=4000), ("structured_outputs",), None),
    ],
)
def test_thinking_is_asked_of_those_who_can(reasoning, capabilities, think):
    assert written(chat(reasoning=reasoning), capabilities=capabilities).get("think") == think


def test_text_documents_are_told_and_others_refused():
    text = Document(Source("text", "the facts"), name="facts.txt")
    assert written(chat(Message("user", (text,))))["messages"][0]["content"] == "facts.txt\n\nthe facts"
    for source in (Source("base64", "JVBERi0=", "application/pdf"), Source("url", "https://x/y.pdf")):
        with pytest.raises(errors.InvalidRequest, match="documents") as refused:
            written(chat(Message("user", (Document(source),))))
        assert refused.value.param == "messages"


def test_a_picture_given_by_url_is_refused():
    with pytest.raises(errors.InvalidRequest, match="by URL") as refused:
        written(chat(Message("user", (Image(Source("url", "https://x/y.png")),))))
    assert refused.value.param == "messages"


def test_arguments_that_are_no_object_are_refused_by_name():
    with pytest.raises(errors.InvalidRequest, match="call_7"):
        written(chat(Message("assistant", (ToolUse("call_7", "look", "[1"),))))
