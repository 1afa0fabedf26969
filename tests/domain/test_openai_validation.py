"""What bad input in OpenAI's dialect is told."""

from __future__ import annotations

import json
import time

import pytest

from apps.domain import errors
from apps.domain.protocols.openai_chat import CLIENT
from tests.domain.openai_calls import HELLO, call


def refused(body: bytes) -> errors.InvalidRequest:
    with pytest.raises(errors.InvalidRequest) as caught:
        CLIENT.read_request(body)
    assert type(caught.value) is errors.InvalidRequest
    return caught.value


def refused_fields(**fields) -> tuple[str | None, str | None, str]:
    body = {"model": "m", "messages": HELLO} | fields
    error = refused(json.dumps({name: value for name, value in body.items() if value != "absent"}).encode())
    return error.param, error.code, error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b'{"model":"m",}',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"model":"m"} {}',
        b"\xef\xbb\xbf{}",
        b"[]",
        b'"x"',
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body):
    assert "JSON" in refused(body).message


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_are_refused_wherever_they_stand_and_not_echoed(text):
    for body in (
        b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % text,
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"extra":"%b"}' % text,
    ):
        error = refused(body)
        assert text.decode("latin-1") not in error.message


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a_million_brackets_are_refused_at_once(opening):
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":' + opening * 1_000_000
    began = time.thread_time()
    refused(body)
    assert time.thread_time() - began < 1


def test_a_key_that_comes_twice_is_refused():
    error = refused(b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"model":"dear"}')
    assert error.param == "model"
    refused(b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"mod\\u0065l":"dear"}')


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name):
    assert refused_fields(**{name: "absent"}) == (
        name,
        "missing_required_parameter",
        f"Missing required parameter: '{name}'.",
    )


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"model": 1}, "model", "Invalid type for 'model': expected a string, but got an integer instead."),
        ({"model": None}, "model", "Invalid type for 'model': expected a string, but got null instead."),
        ({"messages": "hi"}, "messages", "Invalid type for 'messages': expected an array, but got a string instead."),
        ({"messages": [1]}, "messages[0]", "Invalid type for 'messages[0]': expected an object, but got an integer"),
        ({"stream": "true"}, "stream", "Invalid type for 'stream': expected a boolean, but got a string instead."),
        ({"n": 1.5}, "n", "Invalid type for 'n': expected an integer, but got a decimal instead."),
        ({"max_tokens": "9"}, "max_tokens", "Invalid type for 'max_tokens': expected an integer, but got a string"),
        ({"tools": {}}, "tools", "Invalid type for 'tools': expected an array, but got an object instead."),
        ({"temperature": True}, "temperature", "Invalid type for 'temperature': expected a decimal, but got a boolean"),
        ({"stream_options": []}, "stream_options", "Invalid type for 'stream_options': expected an object"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "Invalid type for 'messages[0].content': expected a string or an array, but got an integer instead.",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "messages[0].content",
            "Invalid type for 'messages[0].content': expected a string or an array of objects, but got null instead.",
        ),
    ],
)
def test_a_field_of_the_wrong_type_is_named(fields, param, message):
    found, code, said = refused_fields(**fields)
    assert (found, code) == (param, "invalid_type")
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"model": ""}, "model", "empty_string"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": 10**30}, "max_completion_tokens", "integer_above_max_value"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].name", "missing_required_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            {"messages": [*HELLO, {"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[1].content[0].image_url",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
            "missing_required_parameter",
        ),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "missing_required_parameter"),
    ],
)
def test_a_wrong_value_is_named(fields, param, code):
    assert refused_fields(**fields)[:2] == (param, code)


def test_an_unknown_role_is_answered_with_the_known_ones():
    said = refused_fields(messages=[{"role": "wizard", "content": "x"}])[2]
    assert said == (
        "Invalid value: 'wizard'. Supported values are: "
        "'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
    )


def test_fields_that_nobody_knows_are_let_through():
    assert call(brand_new={"a": [1]}, messages=[{"role": "user", "content": "x", "weight": 1}]).model == "gpt-test"


@pytest.mark.parametrize(("given", "streams"), [({}, False), ({"stream": None}, False), ({"stream": False}, False)])
def test_only_a_literal_true_streams(given, streams):
    assert call(**given).stream is streams
    assert call(stream=True).stream is True


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
)
def test_usage_is_wanted_only_when_asked_for(options, wanted):
    assert call(stream=True, **options).wants_usage is wanted


def test_the_cap_has_two_names_and_one_value():
    assert call(max_tokens=5).max_tokens == 5
    assert call(max_completion_tokens=7).max_tokens == 7
    assert call(max_tokens=7, max_completion_tokens=7).max_tokens == 7
    assert call().max_tokens is None


def test_two_caps_that_differ_are_refused_as_vendors_differ_over_which_counts():
    param, code, message = refused_fields(max_tokens=100_000, max_completion_tokens=7)
    assert (param, code) == ("max_tokens", "invalid_parameter_combination")
    assert "at the same time" in message


def test_a_cap_above_the_models_own_is_named_as_it_was_written():
    for name in ("max_tokens", "max_completion_tokens"):
        error = CLIENT.above_cap(call(**{name: 9000}), cap=4096)
        assert (error.param, error.code) == (name, "invalid_value")
        assert "9000" in error.message
        assert "4096" in error.message


@pytest.mark.parametrize("options", ['{"include_usage":false,"include_usage":true}', '{"a":1,"A":1}'])
def test_a_key_that_comes_twice_in_the_stream_options_is_refused(options):
    body = json.dumps({"model": "m", "messages": HELLO})[:-1] + f', "stream": true, "stream_options": {options}}}'
    assert (refused(body.encode()).param or "").startswith("stream_options.")


def test_what_routing_needs_is_read_once():
    read = call(n=3, safety_identifier="alice", user="old")
    assert (read.protocol, read.model, read.choices, read.user) == ("openai_chat", "gpt-test", 3, "alice")
    assert call(user="old").user == "old"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n": 129}, "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 129 instead."),
        ({"max_tokens": -3}, "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got -3"),
        ({"messages": []}, "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an"),
    ],
)
def test_what_is_out_of_range_is_told_with_what_was_given(fields, said):
    assert refused_fields(**fields)[2].startswith(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verbosity": "huge"}, "Invalid value: 'huge'. Supported values are: 'low', 'medium', and 'high'."),
        ({"service_tier": "gold"}, "Invalid value: 'gold'. Supported values are: 'auto', 'default', 'flex', "),
        ({"service_tier": 5}, "Invalid type for 'service_tier': expected a string, but got an integer instead."),
        ({"logprobs": True, "top_logprobs": 21}, "Invalid 'top_logprobs': integer above maximum value. Expected a "),
    ],
)
def test_a_word_that_openai_does_not_know_is_refused_in_translation_only(fields, said):
    asked = call(**fields)  # a relay leaves it to the provider
    with pytest.raises(errors.InvalidRequest) as caught:
        CLIENT.to_chat(asked)
    assert caught.value.message.startswith(said)
    assert caught.value.param == next(reversed(fields))


def test_a_field_that_is_null_is_none():
    assert CLIENT.to_chat(call(verbosity=None, service_tier=None)).rest == {}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"logprobs": "yes"}, "logprobs", "invalid_type"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
        ({"logprobs": True, "top_logprobs": "2"}, "top_logprobs", "invalid_type"),
        ({"top_logprobs": 2}, "top_logprobs", None),
    ],
)
def test_what_openai_would_not_tell_the_likelihood_of_is_refused_whoever_answers(fields, param, code):
    asked = call(**fields)  # read as it is: other vendors of the dialect take more
    with pytest.raises(errors.InvalidRequest) as caught:
        CLIENT.to_chat(asked)
    assert (caught.value.param, caught.value.code) == (param, code)
