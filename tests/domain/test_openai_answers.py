"""Whole answers: an upstream's read, a client's written; token counts both ways."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors
from apps.domain.chat import ChatResponse, RedactedThinking, Text, Thinking, ToolUse
from apps.domain.protocols.openai_chat import CLIENT, UPSTREAM, usage
from apps.domain.tokens import TokenUsage
from tests.domain.openai_calls import USAGE, call

WEATHER = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}


def read(message: dict, *, finish: str | None = "stop", **fields) -> ChatResponse:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    body = {"id": "cmpl-1", "model": "up-1", "choices": [choice], "usage": USAGE}
    return UPSTREAM.read_response(json.dumps(body | fields).encode())


def write(*content, stop="end_turn", **fields) -> dict:
    answer = ChatResponse(
        id="msg_1", model="claude-1", content=content, stop_reason=stop, usage=TokenUsage(1, 2, 3, 4, 5)
    )
    return json.loads(CLIENT.write_response(answer, call=call(**fields), created=7))


def test_an_answer_is_read():
    assert read({"content": "hello"}) == ChatResponse(
        id="cmpl-1",
        model="up-1",
        content=(Text("hello"),),
        stop_reason="end_turn",
        usage=TokenUsage(in_fresh=10, out_total=5),
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": "yes", "reasoning_content": "hmm"},
        {"content": "yes", "reasoning": "hmm"},
        {"content": "yes", "reasoning": "hmm", "reasoning_content": "hmm"},
        {"content": "<think>hmm</think>\n\nyes"},
        {"content": [{"type": "text", "text": "yes"}], "reasoning": "hmm"},
    ],
)
def test_thinking_is_found_wherever_the_vendor_puts_it(message):
    assert read(message).content == (Thinking("hmm"), Text("yes"))


def test_a_refusal_is_text_and_the_reason_to_stop():
    answer = read({"content": None, "refusal": "I can't"})
    assert (answer.content, answer.refusal, answer.stop_reason) == ((Text("I can't"),), "I can't", "refusal")


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "function_call", "weird", None, "length"])
def test_a_complete_call_decides_whatever_the_label(finish):
    answer = read({"content": None, "tool_calls": [WEATHER]}, finish=finish)
    assert answer.stop_reason == "tool_use"
    assert answer.content == (ToolUse("a", "weather", '{"city":"Bonn"}'),)


def test_a_call_that_the_cap_cut_off_is_not_handed_on():
    cut = {"id": "b", "function": {"name": "weather", "arguments": '{"city":"Bo'}}
    answer = read({"content": "hm", "tool_calls": [cut]}, finish="length")
    assert (answer.content, answer.stop_reason) == ((Text("hm"),), "max_tokens")


def test_a_label_of_calls_without_a_call_ends_the_turn():
    assert read({"content": "so"}, finish="tool_calls").stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("arguments", "read_as"), [("", "{}"), ("  ", "{}"), (None, "{}"), ({"a": 1}, '{"a":1}'), ('{"a": 1}', '{"a": 1}')]
)
def test_arguments_become_an_object(arguments, read_as):
    message = {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]}
    assert read(message).content == (ToolUse("a", "f", read_as),)


def test_arguments_that_are_no_object_are_the_providers_fault():
    with pytest.raises(errors.UpstreamBroken):
        read({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]})


def test_a_call_without_an_id_gets_one_of_its_own():
    nameless = [{"id": "", "function": {"name": "f", "arguments": "{}"}}] * 2
    first, second = read({"tool_calls": nameless}).content
    assert first.id != second.id
    assert first.id.startswith("call_")


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("length", "max_tokens"), ("content_filter", "refusal"), ("sensitive", "refusal"), ("eos", "end_turn")],
)
def test_labels_have_canonical_names(finish, stop):
    assert read({"content": "x"}, finish=finish).stop_reason == stop


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", errors.UpstreamBroken),
        (b"<html>", errors.UpstreamBroken),
        (b"[]", errors.UpstreamBroken),
        (b"{}", errors.UpstreamBroken),
        (b'{"choices":[]}', errors.UpstreamBroken),
        (b'{"choices":[{"message":{"content":null},"finish_reason":"odd"}]}', errors.UpstreamBroken),
        (b'{"choices":[{"message":{"content":"x"},"finish_reason":"network_error"}]}', errors.UpstreamFailed),
        (b'{"error":{"message":"slow down","code":429}}', errors.UpstreamRateLimited),
        (b'{"error":{"message":"busy","type":"overloaded_error"}}', errors.UpstreamOverloaded),
        (b"[" * 100_000, errors.UpstreamBroken),
        (b'{"id":"\xff"}', errors.UpstreamBroken),
    ],
)
def test_what_is_no_answer_is_an_upstream_error(body, fault):
    with pytest.raises(errors.UpstreamError) as caught:
        UPSTREAM.read_response(body)
    assert type(caught.value) is fault


def test_an_answer_is_written():
    assert write(Text("hel"), Text("lo")) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-test",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_calls_are_written_with_null_content_and_whole_arguments():
    choice = write(ToolUse("a", "weather", ""), ToolUse("b", "time", '{"z":1}'), stop="tool_use")["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "time", "arguments": '{"z":1}'}},
    ]


def test_only_a_caller_who_used_functions_gets_a_function_call():
    functions = [{"name": "weather", "parameters": {}}]
    choice = write(ToolUse("a", "weather", "{}"), stop="tool_use", functions=functions)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]


def test_a_stop_for_tools_without_one_is_a_plain_stop():
    assert write(Text("x"), stop="tool_use")["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("context_window", "length"),
        ("pause_turn", "stop"),
        (None, "stop"),
    ],
)
def test_reasons_have_openais_names(stop, finish):
    assert write(Text("x"), stop=stop)["choices"][0]["finish_reason"] == finish


def test_thinking_is_written_with_what_its_vendor_needs_back():
    message = write(Thinking("hmm", "EqQB"), RedactedThinking("xyz"), Text("so"))["choices"][0]["message"]
    assert message["reasoning_content"] == "hmm"
    assert [entry["type"] for entry in message["reasoning_details"]] == ["reasoning.text", "reasoning.encrypted"]
    assert message["reasoning_details"][0]["signature"] == "EqQB"
    assert "reasoning_details" not in write(Thinking("hmm", "gw1.x"), Text("so"))["choices"][0]["message"]


@pytest.mark.parametrize(
    ("raw", "counted"),
    [
        (USAGE, TokenUsage(in_fresh=10, out_total=5)),
        (
            USAGE | {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            TokenUsage(in_fresh=3, in_cache_read=4, in_cache_write_5m=3, out_total=5),
        ),
        (USAGE | {"prompt_cache_hit_tokens": 4}, TokenUsage(in_fresh=6, in_cache_read=4, out_total=5)),
        (
            USAGE | {"completion_tokens_details": {"reasoning_tokens": 2}},
            TokenUsage(in_fresh=10, out_total=5, out_reasoning=2),
        ),
        (
            USAGE | {"total_tokens": 17, "completion_tokens_details": {"reasoning_tokens": 2}},
            TokenUsage(in_fresh=10, out_total=7, out_reasoning=2),
        ),
        (
            USAGE | {"completion_tokens_details": {"reasoning_tokens": 9}},
            TokenUsage(in_fresh=10, out_total=5, out_reasoning=5),
        ),
        (
            USAGE | {"prompt_tokens_details": {"cached_tokens": 90}},
            TokenUsage(in_fresh=10, in_cache_read=90, out_total=5),
        ),
        (USAGE | {"prompt_tokens_details": None}, TokenUsage(in_fresh=10, out_total=5)),
        (USAGE | {"prompt_tokens": 10.0}, TokenUsage(in_fresh=10, out_total=5)),
    ],
)
def test_overlapping_counts_become_disjoint_ones(raw, counted):
    assert usage.read(raw) == counted


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        "many",
        USAGE | {"prompt_tokens": -1},
        USAGE | {"completion_tokens": 10**18},
        USAGE | {"completion_tokens": "5"},
        USAGE | {"prompt_tokens": True},
        USAGE | {"prompt_tokens": 1.5},
        USAGE | {"prompt_tokens_details": {"cached_tokens": -3}},
    ],
)
def test_absurd_counts_are_no_counts(raw):
    assert usage.read(raw) is None


def test_counts_that_were_written_are_read_again():
    counted = TokenUsage(in_fresh=7, in_cache_read=5, in_cache_write_5m=3, out_total=11, out_reasoning=2)
    assert usage.read(usage.write(counted)) == counted
