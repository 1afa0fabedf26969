"""OpenAI's legacy completions: a prompt in, a text out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from apps.domain import errors
from apps.domain.chat import Message, Text, Thinking
from apps.domain.events import BlockStarted, BlockStopped, Finished, Ping, Started, TextDelta, ThinkingDelta
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Target
from apps.domain.tokens import TokenUsage
from tests.domain import grammar, streams
from tests.domain.ollama_calls import last, line

CLIENT = registry.CLIENTS["openai_completions"]
TARGET = Target(protocol="ollama_chat", model="up", max_output_tokens=100)
STREAM = line(thinking="hm") + line(content="wor") + line(content="ld ü") + last(prompt=10, output=5)


def call(**fields: Any) -> ClientCall:
    return CLIENT.read_request(json.dumps({"model": "asked", "prompt": "hello"} | fields).encode())


def chunks(stream: bytes) -> list[dict[str, Any]]:
    """All but the last frame, which is `[DONE]`."""
    frames = grammar.events(stream)
    assert frames[-1] == ("", "[DONE]")
    return [json.loads(data) for _, data in frames[:-1]]


def streamed(*pieces: bytes, **fields: Any) -> list[dict[str, Any]]:
    running = exchange.open(call(stream=True, **fields), TARGET, created=7)
    return chunks(b"".join(map(running.feed, pieces)) + running.close())


def test_a_prompt_is_one_turn():
    asked = CLIENT.to_chat(call(temperature=0.5, top_p=0.9, stop=["END"], seed=3, user="u", max_tokens=40))
    assert asked.messages == (Message("user", (Text("hello"),)),)
    assert (asked.temperature, asked.top_p, asked.stop, asked.max_tokens) == (0.5, 0.9, ("END",), 40)
    assert (asked.user, asked.rest) == ("u", {"seed": msgspec.Raw(b"3")})
    assert CLIENT.to_chat(call(stop="END")).stop == ("END",)


def test_the_dialects_own_default_is_sixteen_tokens():
    assert call().max_tokens == 16


def test_one_prompt_in_a_list_is_as_good_as_a_string():
    assert call(prompt=["hello"]).wire.prompt == "hello"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [1]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": 7}, "stop"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_a_chat_model_cannot_do_is_refused_by_name(fields, param):
    with pytest.raises(errors.InvalidRequest) as refused:
        call(**fields)
    assert refused.value.param == param


def test_what_changes_nothing_is_taken():
    call(n=1, best_of=1, suffix="", logit_bias={"50256": -100}, logprobs=None, echo=False)


def test_without_a_prompt_that_is_what_is_missing():
    with pytest.raises(errors.InvalidRequest) as refused:
        CLIENT.read_request(b'{"model":"m"}')
    assert (refused.value.param, refused.value.code) == ("prompt", "missing_required_parameter")


@pytest.mark.parametrize(("echo", "text"), [(False, "world ü"), (True, "helloworld ü")])
def test_a_whole_answer_is_a_text_completion(echo, text):
    body = json.loads(last(prompt=10, output=5)) | {"message": {"thinking": "hm", "content": "world ü"}}
    running = exchange.open(call(echo=echo), TARGET, created=7)
    told = json.loads(running.answer(json.dumps(body).encode()))
    assert told.pop("id")
    assert told.pop("usage")["total_tokens"] == 15
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    assert told == {"object": "text_completion", "created": 7, "model": "asked", "choices": [choice]}


@given(cuts=streams.cuts)
def test_a_stream_says_the_same_in_chunks_wherever_it_is_split(cuts):
    found = streamed(*streams.split(STREAM, cuts))
    assert found == streamed(STREAM)
    assert "".join(chunk["choices"][0]["text"] for chunk in found) == "world ü"
    assert [chunk["choices"][0]["finish_reason"] for chunk in found] == [*[None] * (len(found) - 1), "stop"]
    assert {(chunk["object"], chunk["created"], chunk["model"]) for chunk in found} == {("text_completion", 7, "asked")}
    assert len({chunk["id"] for chunk in found}) == 1
    assert all("usage" not in chunk for chunk in found)


def test_usage_comes_last_to_who_asks():
    *others, told = streamed(STREAM, stream_options={"include_usage": True})
    assert told["choices"] == []
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (10, 5)
    assert all(chunk["usage"] is None for chunk in others)


def test_an_echo_comes_first():
    assert streamed(STREAM, echo=True)[0]["choices"][0]["text"] == "hello"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"), ("tool_use", "stop")],
)
def test_reasons_have_the_dialects_names(reason, finish):
    encoder = CLIENT.encoder(call=call(stream=True), created=1)
    frames = encoder.encode(Started("", "m")) + encoder.encode(Finished(reason, usage=TokenUsage(1)))
    assert chunks(frames)[-1]["choices"][0]["finish_reason"] == finish
    assert chunks(frames)[0]["id"] == "cmpl-1"


def test_thoughts_and_pings_are_no_text():
    encoder = CLIENT.encoder(call=call(stream=True), created=1)
    encoder.encode(Started("a", "m"))
    silent = [BlockStarted(0, Thinking("")), ThinkingDelta(0, "hm"), BlockStopped(0), TextDelta(1, "")]
    assert b"".join(map(encoder.encode, silent)) == b""
    assert encoder.encode(Ping()) == CLIENT.keepalive


def test_a_stream_that_breaks_ends_in_an_error_and_no_reason():
    running = exchange.open(call(stream=True), TARGET, created=7)
    found = chunks(running.feed(line(content="a")) + running.feed(b'{"error":"it burns"}\n') + running.close())
    assert found[-1]["error"]["message"] == "it burns"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in found[:-1])
