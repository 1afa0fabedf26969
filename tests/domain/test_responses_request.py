"""What callers of Responses ask, in the canonical form; and what is wrong with it, in OpenAI's words."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors, estimate
from apps.domain.chat import RedactedThinking, Text, Thinking, ToolResult, ToolUse
from apps.domain.protocols.openai_responses import names
from tests.domain.responses_calls import CLIENT, call, chat, opened

FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "patch", "description": "Edits.", "format": {"type": "text"}}
SAID = {"role": "user", "content": "hello"}
PART = "input[0].content[0]"
AT_OPENAI = {"type": "input_image", "file_id": "file_1"}
GOT = {"type": "function_call_output", "call_id": "c", "output": "rain"}
GO = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}


def space(name, *tools):
    return {"type": "namespace", "name": name, "description": "", "tools": list(tools)}


def blocks(*items, **fields):
    return [block for message in chat(input=list(items), **fields).messages for block in message.content]


def test_a_call_is_what_routes_it():
    read = call(stream=True, max_output_tokens=50, safety_identifier="bob", user="old")
    assert (read.protocol, read.model, read.stream, read.max_tokens) == ("openai_responses", "gpt-test", True, 50)
    assert read.user == "bob"
    assert call(user="old").user == "old"


def test_it_streams_only_when_told_to():
    assert call().stream is call(stream=None).stream is call(stream=False).stream is False


def test_instructions_and_developers_lead_and_a_later_one_stays_in_its_place():
    read = chat(
        instructions="One",
        input=[{"role": "developer", "content": "Two"}, SAID, {"role": "system", "content": "Three"}, SAID],
    )
    assert [text.text for text in read.system] == ["One", "Two"]
    assert [message.role for message in read.messages] == ["user", "system", "user"]


def test_what_a_model_did_is_one_turn_and_its_results_lead_the_next():
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Look."}]}
    result = {"type": "function_call_output", "call_id": "c", "output": "rain"}
    read = chat(input=[SAID, thought, said, GO, result, SAID]).messages
    assert [message.role for message in read] == ["user", "assistant", "user"]
    assert read[1].content == (Thinking("Hm."), Text("Look."), ToolUse("c", "weather", "{}"))
    assert read[2].content == (ToolResult("c", (Text("rain"),)), Text("hello"))


def test_two_things_said_are_two_turns():
    assert len(chat(input=[SAID, SAID]).messages) == 2


@pytest.mark.parametrize(
    "block",
    [
        Thinking("Hm.", "EqQB+/="),
        Thinking("", "EqQB"),
        Thinking("Ä\n"),
        RedactedThinking("cmVk"),
        Thinking("Hm.", "gw1."),
    ],
)
def test_thinking_comes_back_as_its_vendor_signed_it(block):
    item = {"type": "reasoning", "summary": [], "encrypted_content": names.seal(block)}
    if isinstance(block, Thinking) and block.text:
        item["summary"] = [{"type": "summary_text", "text": block.text}]
    (found,) = blocks(item)
    if isinstance(block, Thinking) and not block.signature.startswith("E"):
        assert found.text == block.text
        assert found.signature.startswith("gw1.")
        assert names.encrypted_of(found) is None
    else:
        assert found == block


@pytest.mark.parametrize("spoilt", ["gw1.s.!!!", "gw1.s.W10", "gw1.x.e30", "gw1.s." + "A" * 5])
def test_thinking_that_was_tampered_with_is_nobodys(spoilt):
    (found,) = blocks(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": spoilt}
    )
    assert found == Thinking("Hm.")


def test_what_openai_encrypted_is_kept_for_it_alone():
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA.b"}
    (found,) = blocks(item)
    assert names.encrypted_of(found) == ("rs_1", "gAAAA.b")
    assert names.seal(found) == "gAAAA.b"


def test_an_empty_thought_is_none():
    assert blocks(SAID, {"type": "reasoning", "id": "rs_1", "summary": []}) == [Text("hello")]


def test_the_tools_of_namespaces_get_names_of_their_own():
    read = chat(tools=[FUNCTION, space("mcp__a", FUNCTION), space("mcp__b__", FUNCTION, PATCH)])
    assert [tool.name for tool in read.tools] == ["weather", "mcp__a__weather", "mcp__b__weather", "mcp__b__patch"]


def test_names_that_collide_are_told_apart():
    clash = FUNCTION | {"name": "a__weather"}
    read = chat(
        tools=[clash, space("a", FUNCTION)], tool_choice={"type": "function", "name": "weather", "namespace": "a"}
    )
    assert [tool.name for tool in read.tools] == ["a__weather", "a__weather_2"]
    assert read.tool_choice.name == "a__weather_2"


def test_a_namespaced_call_of_the_history_has_its_tools_name():
    item = GO | {"namespace": "mcp__a"}
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
    assert blocks(SAID, item, result, tools=[space("mcp__a", FUNCTION)])[1].name == "mcp__a__weather"
    assert blocks(SAID, item, result)[1].name == "mcp__a__weather"


def test_a_custom_tool_is_a_function_of_one_text():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    plain, told = chat(tools=[PATCH, PATCH | {"name": "p2", "format": grammar}]).tools
    assert plain.description == "Edits."
    assert plain.schema["required"] == ["input"]
    assert "start: X" in told.description
    call = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'a "b"'}
    result = {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}
    used, _ = blocks(call, result, tools=[PATCH])
    assert json.loads(used.arguments) == {"input": 'a "b"'}


def test_tools_that_agents_always_offer_are_left_out():
    offered = [{"type": kind} for kind in ("web_search", "web_search_preview", "web_search_preview_2025_03_11")]
    assert [tool.name for tool in chat(tools=[*offered, {"type": "image_generation"}, FUNCTION]).tools] == ["weather"]


@pytest.mark.parametrize("kind", ["file_search", "code_interpreter", "mcp", "computer_use_preview", "shell", "wish"])
def test_a_tool_that_was_asked_for_and_is_not_there_is_refused(kind):
    with pytest.raises(errors.InvalidRequest) as refused:
        chat(tools=[FUNCTION, {"type": kind}])
    assert refused.value.param == "tools[1].type"


@pytest.mark.parametrize(
    ("choice", "mode", "name"),
    [
        ("auto", "auto", None),
        ("none", "none", None),
        ("required", "any", None),
        ({"type": "function", "name": "weather"}, "tool", "weather"),
        ({"type": "custom", "name": "patch"}, "tool", "patch"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]}, "any", None),
    ],
)
def test_the_choice_of_a_tool_is_read(choice, mode, name):
    read = chat(tools=[FUNCTION, PATCH], tool_choice=choice)
    assert (read.tool_choice.mode, read.tool_choice.name) == (mode, name)
    if mode == "any" and isinstance(choice, dict):
        assert [tool.name for tool in read.tools] == ["patch"]


def test_the_local_shell_is_a_function_and_what_it_did_its_call():
    action = {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": None, "working_directory": "/src"}
    used, result = blocks(
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "status": "completed", "action": action},
        {"type": "local_shell_call_output", "id": "c", "output": "a b"},
        tools=[{"type": "local_shell"}],
    )
    assert (used.name, json.loads(used.arguments)) == ("local_shell", {"command": ["ls"], "working_directory": "/src"})
    assert result == ToolResult("c", (Text("a b"),))


def test_what_openais_own_tools_did_is_left_out():
    assert blocks(SAID, {"type": "web_search_call", "id": "ws_1", "status": "completed"}) == [Text("hello")]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 7}, "input", "invalid_type"),
        ({"input": [7]}, "input[0]", "invalid_type"),
        ({"instructions": 7}, "instructions", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"tools": [{"name": "x"}]}, "tools[0].type", "missing_required_parameter"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"input": [SAID, {"type": "item_reference", "id": "x"}]}, "input[1].type", "unsupported_parameter"),
    ],
)
def test_a_bad_field_is_named_at_once(fields, param, code):
    with pytest.raises(errors.InvalidRequest) as refused:
        call(**fields)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": "message"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"type": "wish"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type", "unsupported_parameter"),
        ({"input": [{"role": "user", "content": {}}]}, "input[0].content", "invalid_type"),
        ({"input": [{**SAID, "content": [{"text": "x"}]}]}, f"{PART}.type", "missing_required_parameter"),
        ({"input": [{**SAID, "content": [{"type": "input_text"}]}]}, f"{PART}.text", "missing_required_parameter"),
        ({"input": [{**SAID, "content": [{"type": "video"}]}]}, f"{PART}.type", "invalid_value"),
        ({"input": [SAID | {"content": [AT_OPENAI]}]}, f"{PART}.file_id", "unsupported_parameter"),
        ({"input": [GO | {"name": None}]}, "input[0].name", "missing_required_parameter"),
        ({"input": [GO | {"call_id": 7}]}, "input[0].call_id", "invalid_type"),
        ({"input": [GO | {"arguments": {"a": 1}}]}, "input[0].arguments", "invalid_type"),
        ({"input": [GOT | {"output": None}]}, "input[0].output", "missing_required_parameter"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary", "invalid_type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [space("a", {"type": "function"})]}, "tools[0].tools[0].name", "missing_required_parameter"),
        ({"tools": [FUNCTION], "tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, "tool_choice", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "missing_required_parameter"),
        ({"reasoning": {"effort": "heroic"}}, "reasoning.effort", "invalid_value"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"input": []}, None, "missing_required_parameter"),
        ({"input": ""}, None, "missing_required_parameter"),
        ({"include": ["reasoning.encrypted_content", "x"]}, "include[1]", "invalid_value"),
        ({"truncation": "maybe"}, "truncation", "invalid_value"),
        ({"text": {"verbosity": "huge"}}, "text.verbosity", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"top_logprobs": "2"}, "top_logprobs", "invalid_type"),
        ({"input": None, "prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_a_field_that_another_vendor_must_understand_is_named_when_it_is_bad(fields, param, code):
    asked = call(**fields)
    with pytest.raises(errors.InvalidRequest) as refused:
        CLIENT.to_chat(asked)
    assert (refused.value.param, refused.value.code) == (param, code)


def test_a_field_in_other_letters_case_is_refused():
    with pytest.raises(errors.InvalidRequest) as refused:
        CLIENT.read_request(b'{"model":"m","input":"x","Stream":true}')
    assert refused.value.param == "Stream"


def test_a_cap_above_the_models_is_named_as_callers_call_it():
    refused = CLIENT.above_cap(call(max_output_tokens=9000), cap=4096)
    assert (refused.param, refused.code) == ("max_output_tokens", "invalid_value")
    assert "9000" in refused.message


def test_unknown_fields_are_no_obstacle():
    assert opened(upstream="anthropic_messages", client_metadata={"x": "y"}, something_new=[1]).body


def test_pictures_weigh_what_a_model_counts_and_not_their_bytes():
    picture = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 400_000}
    size = estimate.prompt_bytes(call(input=[{"role": "user", "content": [picture]}]).body)
    assert size < 20_000
    shown = [GO, {"type": "function_call_output", "call_id": "c", "output": [picture]}]
    assert estimate.prompt_bytes(call(input=shown).body) < 20_000
    far = {"type": "input_image", "image_url": "https://example.com/a.png"}
    assert estimate.prompt_bytes(call(input=[{"role": "user", "content": [far]}]).body) > 5_000
    text = {"type": "input_text", "text": '"input_image" ' * 1000}
    body = call(input=[{"role": "user", "content": [text]}]).body
    assert estimate.prompt_bytes(body) == len(body)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": []}, "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."),
        (
            {"max_output_tokens": 15},
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
        ),
        (
            {"top_logprobs": 21},
            "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20, but got 21 instead.",
        ),
        ({"truncation": "maybe"}, "Invalid value: 'maybe'. Supported values are: 'auto' and 'disabled'."),
    ],
)
def test_what_openai_takes_is_told_in_its_words(fields, said):
    with pytest.raises(errors.InvalidRequest) as refused:
        chat(**fields)
    assert refused.value.message == said
