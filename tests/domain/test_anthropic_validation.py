"""What is refused of an Anthropic request, and by what name."""

import json

import pytest

from apps.domain.errors import InvalidRequest
from tests.domain.anthropic_calls import CLIENT, HELLO, call, chat


def refused(body) -> InvalidRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequest) as caught:
        CLIENT.read_request(raw)
    return caught.value


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b"[]", b"null", b'"text"', b"12", b"<html>", b"\xff\xfe{"])
def test_a_body_that_is_no_json_object_is_refused(body):
    assert refused(body).status == 400


@pytest.mark.parametrize("place", ['{"model":"\xff"}', '{"unknown":"\xff"}', '{"messages":[{"x":"\xff"}]}'])
def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand_and_not_echoed(place):
    assert refused(place.encode("latin-1")).message.isascii()


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"messages":['])
def test_a_million_brackets_are_refused_at_once(opening):
    assert "deep" in refused(b'{"a":' + opening * (1_000_000 // len(opening))).message


def test_json_too_deep_in_a_block_is_refused_too():
    deep = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"x","y":%b}]}]}'
    assert "deep" in refused(deep % (b"[" * 50_000 + b"]" * 50_000)).message


def test_a_key_that_comes_twice_is_refused():
    assert refused(b'{"model":"a","model":"b","max_tokens":1,"messages":[]}').param == "model"


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(name):
    body = {"model": "m", "max_tokens": 1, "messages": HELLO}
    del body[name]
    error = refused(body)
    assert (error.message, error.param) == (f"{name}: Field required", name)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"model": 5}, "model", "Input should be a valid string"),
        ({"model": ""}, "model", "must not be empty"),
        ({"max_tokens": "9"}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": 1.5}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": None}, "max_tokens", "Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens", "must be greater than or equal to 1"),
        ({"max_tokens": -5}, "max_tokens", "must be greater than or equal to 1"),
        ({"max_tokens": 10**18}, "max_tokens", "must be less than or equal to 2147483647"),
        ({"max_tokens": 10**40}, "max_tokens", None),
        ({"messages": []}, "messages", "at least one message is required"),
        ({"messages": "hello"}, "messages", "Input should be a valid list"),
        ({"messages": ["hello"]}, "messages.0", "Input should be an object"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "Field required"),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages.1.role", "Field required"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages.0.role",
            "Input should be 'user', 'assistant' or 'system'",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages.0.content",
            "Input should be a valid string or a valid list",
        ),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type", "Field required"),
        ({"stream": "true"}, "stream", "Input should be a valid boolean"),
        ({"stream": 1}, "stream", "Input should be a valid boolean"),
        ({"temperature": "hot"}, "temperature", "Input should be a valid number"),
        ({"system": 5}, "system", "Input should be a valid string or a valid list"),
        ({"stop_sequences": "x"}, "stop_sequences", "Input should be a valid list"),
        ({"stop_sequences": [1]}, "stop_sequences.0", "Input should be a valid string"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id", "Input should be a valid string"),
        ({"tools": {}}, "tools", "Input should be a valid list"),
        ({"tools": [1]}, "tools.0", "Input should be an object"),
        ({"tool_choice": "auto"}, "tool_choice", "Input should be an object"),
        ({"thinking": {}}, "thinking.type", "Field required"),
    ],
)
def test_a_wrong_field_is_named(fields, param, message):
    error = refused({"model": "m", "max_tokens": 1, "messages": HELLO} | fields)
    assert error.param == param
    if message is not None:
        assert error.message == f"{param}: {message}"


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "text"}, "text"),
        ({"type": "text", "text": 5}, "text"),
        ({"type": "image"}, "source"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "source.data"),
        ({"type": "image", "source": {"type": "url"}}, "source.url"),
        ({"type": "image", "source": {"type": "url", "url": "file:///x.png"}}, "source.url"),
        ({"type": "document", "source": {"type": "url", "url": "x.pdf"}}, "source.url"),
        ({"type": "document", "source": "x"}, "source"),
        ({"type": "tool_use", "id": "a", "name": "b"}, "input"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": "x"}, "input"),
        ({"type": "tool_result"}, "tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}, "content.0.text"),
        ({"type": "thinking"}, "thinking"),
        ({"type": "redacted_thinking"}, "data"),
    ],
)
def test_a_block_that_must_be_translated_is_looked_into(block, param):
    asked = call(messages=[*HELLO, {"role": "assistant", "content": [{"type": "text", "text": "x"}, block]}])
    with pytest.raises(InvalidRequest) as caught:
        CLIENT.to_chat(asked)
    assert caught.value.param == f"messages.1.content.1.{param}"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "a.b", "input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "a" * 129, "input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "a\n", "input_schema": {}}]}, "tools.0.name"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"service_tier": 5}, "service_tier"),
        ({"tools": [{"name": "x", "input_schema": 5}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "x", "input_schema": {}}], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [{"name": "x", "input_schema": {}}], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"system": [{"type": "text"}]}, "system.0.text"),
    ],
)
def test_tools_and_system_are_looked_into_when_translated(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert caught.value.param == param


def test_fields_and_blocks_that_nobody_knows_are_let_through():
    read = call(
        brand_new={"a": 1},
        messages=[{"role": "user", "content": [{"type": "hologram", "x": 1}], "extra": 1}],
        thinking={"type": "between_tools"},
    )
    assert read.model == "claude-test"


@pytest.mark.parametrize(("given", "streams"), [({"stream": True}, True), ({"stream": False}, False), ({}, False)])
def test_only_a_literal_true_streams(given, streams):
    assert call(**given).stream is streams


def test_a_null_is_no_true():
    assert call(stream=None).stream is False


def test_what_routing_needs_is_read_once():
    read = call(model="claude-x", max_tokens=7, metadata={"user_id": "u-1"}, stream=True)
    assert (read.protocol, read.model, read.max_tokens, read.user, read.stream) == (
        "anthropic_messages",
        "claude-x",
        7,
        "u-1",
        True,
    )
    assert (read.choices, read.wants_usage) == (1, True)
