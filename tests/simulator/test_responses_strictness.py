"""What OpenAI refuses in a Responses request is refused, with the parameter that it names."""

from __future__ import annotations

import pytest

from tests.sdk import worlds
from tests.simulator.test_responses_sdk import CRM, FREEFORM, FUNCTIONS
from tests.simulator.test_strictness import ABSENT, changed

ASKED = {"role": "user", "content": "The time?"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_time", "arguments": '{"zone":"UTC"}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "noon"}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
JSON_ANSWER = {"type": "json_schema", "name": "x", "schema": OPEN_SCHEMA}


def body(**change: object) -> dict:
    return changed({"model": "gpt-simulated", "input": [ASKED]}, change)


def said(*parts: dict, role: str = "user") -> list[dict]:
    return [{"role": role, "content": list(parts)}]


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"model": ABSENT}, "model", "Missing required parameter: 'model'"),
        ({"input": ABSENT}, "input", "Missing required parameter: 'input'"),
        ({"input": 7}, "input", "expected a string or an array"),
        ({"messages": []}, "messages", "Unknown parameter: 'messages'"),
        ({"client_metadata": {"a": 1}}, "client_metadata.a", "expected a string"),
        ({"stop": ["x"]}, "stop", "Unknown parameter: 'stop'"),
        ({"max_tokens": 64}, "max_tokens", "Unknown parameter: 'max_tokens'"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "Unknown parameter"),
        ({"max_output_tokens": 15}, "max_output_tokens", "Expected a value >= 16, but got 15"),
        ({"temperature": -1}, "temperature", "Expected a value >= 0, but got -1"),
        ({"top_p": 2}, "top_p", "Expected a value <= 1"),
        ({"stream": "yes"}, "stream", "expected a boolean, but got a string"),
        ({"stream_options": {}}, "stream_options", "only allowed when 'stream' is enabled"),
        ({"stream": True, "stream_options": {"include_usage": True}}, "stream_options.include_usage", "Unknown"),
        ({"include": ["everything"]}, "include[0]", "Invalid value: 'everything'"),
        ({"truncation": "always"}, "truncation", "Supported values are: 'auto'"),
        ({"metadata": {"a": 1}}, "metadata.a", "expected a string"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "Previous response with id 'resp_1' not found."),
        ({"previous_response_id": "x"}, "previous_response_id", "begins with 'resp'"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort", "Invalid value: 'extreme'"),
        ({"reasoning": {"budget": 1}}, "reasoning.budget", "Unknown parameter"),
        ({"model": "gpt-4o", "reasoning": {"effort": "low"}}, "reasoning.effort", "not supported with this model"),
        ({"model": "gpt-4o", "include": ["reasoning.encrypted_content"]}, "include", "Encrypted content"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "Invalid value: 'xml'"),
        ({"text": {"format": {"type": "json_object"}}}, "input", "must contain the word 'json'"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "Missing required parameter"),
        ({"text": {"format": JSON_ANSWER | {"json_schema": {}}}}, "text.format.json_schema", "Unknown parameter"),
        ({"text": {"format": JSON_ANSWER | {"strict": True}}}, "text.format.schema", "'additionalProperties'"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "Invalid value: 'loud'"),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "tools[0].function", "Unknown parameter"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools[0].name", "Missing required parameter"),
        ({"tools": [{"type": "custom", "name": "a", "parameters": {}}]}, "tools[0].parameters", "Unknown parameter"),
        ({"tools": [{"name": "a", "input_schema": {}}]}, "tools[0].type", "Invalid value: 'None'"),
        ({"tools": [CRM | {"tools": [CRM]}]}, "tools[0].tools[0].type", "Invalid value: 'namespace'"),
        ({"tool_choice": "required"}, "tool_choice", "requires 'tools'"),
        ({"tools": FUNCTIONS, "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "'x' not found"),
        ({"tools": FUNCTIONS, "tool_choice": "any"}, "tool_choice", "Invalid value: 'any'"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "Invalid value: 'tool'"),
        ({"input": [{"type": "tool_use"}]}, "input[0].type", "Invalid value: 'tool_use'"),
        ({"input": [ASKED | {"name": "bob"}]}, "input[0].name", "Unknown parameter: 'input[0].name'"),
        ({"input": said({"type": "text", "text": "x"})}, "input[0].content[0]", "Invalid value: 'text'"),
        ({"input": said({"type": "output_text", "text": "x"})}, "input[0].content[0]", "Invalid value: 'output_text'"),
        (
            {"input": said({"type": "input_text", "text": "x"}, role="assistant")},
            "input[0].content[0]",
            "Supported values are: 'output_text' and 'refusal'",
        ),
        ({"input": said({"type": "input_image", "image_url": "abc"})}, "input[0].content[0].image_url", "data URL"),
        ({"input": said({"type": "input_file"})}, "input[0].content[0].file_id", "Missing required"),
        ({"input": [ASKED, CALL]}, "input", "No tool output found for function call call_1."),
        ({"input": [ASKED, RESULT]}, "input", "No tool call found for function call output with call_id call_1."),
        ({"input": [ASKED, RESULT, CALL]}, "input", "No tool call found"),
        ({"input": [CALL | {"arguments": {}}, RESULT]}, "input[0].arguments", "expected a string, but got an object"),
        ({"input": [CALL | {"id": "call_1"}, RESULT]}, "input[0].id", "begins with 'fc'"),
        ({"input": [CALL | {"call_id": "c" * 65}, RESULT]}, "input[0].call_id", "maximum length 64"),
        ({"input": [CALL, RESULT | {"output": [{"type": "text"}]}]}, "input[1].output[0]", "Invalid value: 'text'"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary", "expected an array"),
        ({"input": [{"type": "reasoning", "summary": [], "signature": "x"}]}, "input[0].signature", "Unknown"),
    ],
)
def test_it_refuses(http, change, param, message):
    answer = http.post("/v1/responses", json=body(**change))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert message in error["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"input": "The time?"},
        {"input": []},
        {"input": [ASKED, CALL, RESULT]},
        {"input": [ASKED, CALL | {"id": "fc_1", "status": "completed"}, RESULT | {"output": said()[0]["content"]}]},
        {"input": [{"type": "message", "role": "developer", "content": "Be brief."}, ASKED]},
        {"input": [ASKED, *said({"type": "output_text", "text": "Noon.", "annotations": []}, role="assistant")]},
        {"input": said({"type": "input_image", "image_url": f"data:image/png;base64,{worlds.PIXEL}", "detail": "low"})},
        {"input": said({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="})},
        {"input": [ASKED, {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}]},
        {"input": [ASKED, {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "x", "tools": []}]},
        {"tools": [*FUNCTIONS, FREEFORM, CRM, {"type": "web_search", "search_context_size": "low"}]},
        {"tools": [{"type": "function", "name": "a", "parameters": OPEN_SCHEMA}]},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "include": []},
        {"store": False, "metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "flex", "user": "u"},
        {"previous_response_id": None, "reasoning": {"effort": "low", "summary": None}},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"client_metadata": {"x-codex-installation-id": "1", "turn_id": "2"}},
        {"model": "gpt-lenient", "top_k": 3},
    ],
)
def test_it_accepts(http, change):
    answer = http.post("/v1/responses", json=body(**change))
    assert answer.status_code == 200, answer.text


def test_what_was_stored_elsewhere_is_not_found(http):
    answer = http.post("/v1/responses", json=body(input=[{"type": "item_reference", "id": "msg_1"}]))
    assert answer.status_code == 404
    assert "Item with id 'msg_1' not found." in answer.json()["error"]["message"]


def test_counting_takes_only_what_counts(http):
    assert "'stream'" in http.post("/v1/responses/input_tokens", json=body(stream=True)).json()["error"]["message"]
    short = http.post("/v1/responses/input_tokens", json=body()).json()["input_tokens"]
    assert http.post("/v1/responses/input_tokens", json=body(tools=FUNCTIONS)).json()["input_tokens"] > short > 0


def test_padding_hides_how_long_the_pieces_are_unless_it_is_unwanted(http):
    padded = http.post("/v1/responses", json=body(stream=True)).text
    bare = http.post("/v1/responses", json=body(stream=True, stream_options={"include_obfuscation": False})).text
    assert '"obfuscation":"' in padded
    assert "obfuscation" not in bare.replace("include_obfuscation", "")
