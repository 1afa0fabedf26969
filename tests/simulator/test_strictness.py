"""What the vendors refuse is refused: a gateway that sends it must be told, as it would be in production."""

from __future__ import annotations

import copy

import pytest

from tests.sdk import worlds

CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_time", "input": {"zone": "UTC"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}
ASKED = {"role": "user", "content": "The time?"}
CALLED = {"role": "assistant", "content": [CALL]}
RETURNED = {"role": "user", "content": [RESULT]}
GPT_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": '{"zone":"UTC"}'}}
GPT_CALLED = {"role": "assistant", "content": None, "tool_calls": [GPT_CALL]}
GPT_RETURNED = {"role": "tool", "tool_call_id": "call_1", "content": "noon"}
ABSENT = object()
MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


def changed(body: dict, change: dict) -> dict:
    body = copy.deepcopy(body) | change
    return {name: value for name, value in body.items() if value is not ABSENT}


def claude_body(**change: object) -> dict:
    return changed({"model": "claude-simulated", "max_tokens": 64, "messages": [ASKED]}, change)


def gpt_body(**change: object) -> dict:
    return changed({"model": "gpt-simulated", "messages": [ASKED]}, change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": ABSENT}, "max_tokens: Field required"),
        ({"model": ABSENT}, "model: Field required"),
        ({"messages": ABSENT}, "messages: Field required"),
        ({"messages": []}, "at least one message"),
        ({"max_tokens": "64"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"temperature": 1.5}, "temperature"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"frequency_penalty": 0.1}, "frequency_penalty: Extra inputs are not permitted"),
        ({"max_completion_tokens": 9}, "max_completion_tokens: Extra inputs are not permitted"),
        ({"stop_sequences": ["  "]}, "non-whitespace"),
        ({"metadata": {"tier": "x"}}, "metadata.tier"),
        ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be non-empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "non-whitespace"),
        ({"messages": [{"role": "user", "content": [], "name": "bob"}]}, "messages.0.name: Extra inputs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "Input tag 'image_url'"),
        ({"messages": [{"role": "system", "content": "x"}, ASKED]}, "role 'system' is not supported"),
        ({"messages": [ASKED, CALLED]}, "without `tool_result` blocks immediately after: toolu_1"),
        ({"messages": [RETURNED]}, "unexpected `tool_use_id`"),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "can only be in `assistant`"),
        ({"messages": [ASKED, {"role": "assistant", "content": "So "}]}, "trailing whitespace"),
        ({"messages": [ASKED, {"role": "assistant", "content": [CALL | {"id": "a.b"}]}]}, "should match pattern"),
        ({"messages": [{"role": "user", "content": [MARKED] * 5}]}, "maximum of 4 blocks with cache_control"),
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "tools.0.custom.name"),
        ({"tools": [{"name": "a", "parameters": {}}]}, "tools.0.custom.parameters: Extra inputs"),
        ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2}, "must be unique"),
        ({"tools": worlds.ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "'x' not found"),
        ({"tools": worlds.ANTHROPIC_TOOLS, "tool_choice": "auto"}, "tool_choice: Input should be"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than"),
        ({"thinking": {"type": "on"}}, "Input tag 'on'"),
        ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "additionalProperties"),
    ],
)
def test_anthropic_refuses(http, change, message):
    answer = http.post("/v1/messages", json=claude_body(**change))
    assert answer.status_code == 400
    error = answer.json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert message in error["error"]["message"]
    assert error["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    "change",
    [
        {"system": ""},
        {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"messages": [ASKED, CALLED, RETURNED]},
        {"messages": [ASKED, CALLED, {"role": "user", "content": [RESULT | {"content": ""}]}]},
        {"messages": [ASKED, CALLED, RETURNED, {"role": "user", "content": "And then?"}]},
        {"messages": [ASKED, {"role": "assistant", "content": ""}, ASKED]},
        {"messages": [ASKED, {"role": "system", "content": "Be brief."}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}},
    ],
)
def test_anthropic_accepts(http, change):
    answer = http.post("/v1/messages", json=claude_body(**change))
    assert answer.status_code == 200, answer.text


def test_anthropic_wants_a_version_and_lets_betas_bring_fields(http):
    body = claude_body(context_management={"edits": []})
    assert "Extra inputs" in http.post("/v1/messages", json=body).text
    answer = http.post("/v1/messages", json=body, headers={"anthropic-beta": "context-management-2025-06-27"})
    assert answer.status_code == 200
    del http.headers["anthropic-version"]
    assert "anthropic-version: header is required" in http.post("/v1/messages", json=claude_body()).text


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"model": ABSENT}, None, "you must provide a model parameter"),
        ({"messages": ABSENT}, "messages", "Missing required parameter: 'messages'"),
        ({"messages": []}, "messages", "empty array"),
        ({"top_k": 3}, "top_k", "Unknown parameter: 'top_k'"),
        ({"system": "x"}, "system", "Unknown parameter: 'system'"),
        ({"max_tokens": 9, "max_completion_tokens": 9}, "max_tokens", "at the same time"),
        ({"max_tokens": 9, "model": "gpt-5-simulated"}, "max_tokens", "Use 'max_completion_tokens' instead"),
        ({"max_tokens": "9"}, "max_tokens", "expected an integer, but got a string"),
        ({"temperature": 3}, "temperature", "Expected a value <= 2"),
        ({"n": 0}, "n", "Expected a value >= 1"),
        ({"stop": ["a"] * 5}, "stop", "Expected a maximum length of 4"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream' is enabled"),
        ({"metadata": {"a": "b"}}, "metadata", "only allowed when 'store' is enabled"),
        ({"tool_choice": "auto"}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls", "only allowed when 'tools' are specified"),
        ({"tools": []}, "tools", "empty array"),
        ({"tools": [{"name": "a", "input_schema": {}}]}, "tools[0].type", "Supported values are: 'function'"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "Invalid value: 'extreme'"),
        ({"response_format": {"type": "json_object"}}, "messages", "must contain the word 'json'"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "Invalid value: 'xml'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "Invalid value: 'robot'"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "expected a string, got null"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].type", "'image'"),
        ({"messages": [ASKED | {"cache_control": {}}]}, "messages[0].cache_control", "Unknown parameter"),
        ({"messages": [ASKED, GPT_CALLED]}, "messages.[1].role", "did not have response messages: call_1"),
        ({"messages": [ASKED, GPT_CALLED, ASKED, GPT_RETURNED]}, "messages.[1].role", "must be followed"),
        ({"messages": [ASKED, GPT_RETURNED]}, "messages.[1].role", "must be a response to a preceding message"),
    ],
)
def test_openai_refuses(http, change, param, message):
    answer = http.post("/v1/chat/completions", json=gpt_body(**change))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert message in error["message"]


def test_openai_refuses_arguments_that_are_no_string_and_schemas_that_are_not_strict(http):
    call = copy.deepcopy(GPT_CALL)
    call["function"]["arguments"] = {"zone": "UTC"}
    body = gpt_body(messages=[ASKED, GPT_CALLED | {"tool_calls": [call]}, GPT_RETURNED])
    assert "expected a string, but got an object" in http.post("/v1/chat/completions", json=body).text
    function = {"name": "a", "strict": True, "parameters": {"type": "object", "properties": {}}}
    body = gpt_body(tools=[{"type": "function", "function": function}])
    assert "'additionalProperties' is required" in http.post("/v1/chat/completions", json=body).text


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [ASKED, GPT_CALLED, GPT_RETURNED]},
        {"messages": [{"role": "developer", "content": "Be brief."}, ASKED]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [ASKED, {"role": "assistant", "content": "", "reasoning_content": "Hm."}, ASKED]},
        {"model": "o3-simulated", "max_completion_tokens": 9, "reasoning_effort": "low"},
        {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "In JSON, please"}]},
    ],
)
def test_openai_accepts(http, change):
    answer = http.post("/v1/chat/completions", json=gpt_body(**change))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_neither_takes_what_is_not_json_nor_calls_without_a_key(http, path):
    assert "JSON" in http.post(path, content=b'{"model": ').json()["error"]["message"]
    assert http.post(path, content=b"\xff\xfe").status_code == 400
    assert http.post(path, content=b"[]").status_code == 400
    assert http.post(path, content=b"[" * 100_000).status_code == 400
    assert http.get(path).status_code == 405
    del http.headers["x-api-key"]
    assert http.post(path, json={}).status_code == 401


def test_a_lenient_model_lets_unknown_fields_pass(http):
    body = gpt_body(model="gpt-lenient", top_k=3)
    assert http.post("/v1/chat/completions", json=body).status_code == 200


def test_a_prompt_beyond_the_window_is_refused_in_the_vendors_words(http):
    long = [{"role": "user", "content": "word " * 200_010}]
    answer = http.post("/v1/messages", json=claude_body(messages=long))
    assert answer.json()["error"]["message"] == "prompt is too long: 200014 tokens > 200000 maximum"
    answer = http.post("/v1/chat/completions", json=gpt_body(messages=long))
    assert answer.json()["error"]["code"] == "context_length_exceeded"
