"""The call that fits one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from apps.domain import errors
from apps.domain.chat import Message, Text
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Target
from tests.domain import grammar, streams
from tests.domain.ollama_calls import last, line

CLIENT = registry.CLIENTS["prompt"]
TARGET = Target(protocol="ollama_chat", model="up", max_output_tokens=100)
STREAM = line(thinking="hm") + line(content="wor") + line(content="ld ü") + last("length", prompt=10, output=5)


def call(**fields: Any) -> ClientCall:
    return CLIENT.read_request(json.dumps({"prompt": "hello", "model": "asked"} | fields).encode())


def streamed(*pieces: bytes) -> list[dict[str, Any]]:
    running = exchange.open(call(stream=True), TARGET)
    frames = grammar.events(b"".join(map(running.feed, pieces)) + running.close())
    return [json.loads(data) for _, data in frames]


def test_a_prompt_and_a_system_prompt_make_a_conversation():
    asked = CLIENT.to_chat(call(system="be brief", max_tokens=9, temperature=0.5))
    assert asked.system == (Text("be brief"),)
    assert asked.messages == (Message("user", (Text("hello"),)),)
    assert (asked.max_tokens, asked.temperature, asked.stream) == (9, 0.5, False)


def test_a_prompt_is_enough():
    asked = CLIENT.read_request(b'{"prompt":"hello"}')
    assert (asked.model, asked.stream, asked.max_tokens) == ("", False, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"model": ""}, "model"),
        ({"system": 7}, "system"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_named(fields, param):
    with pytest.raises(errors.InvalidRequest) as refused:
        call(**fields)
    assert refused.value.param == param


def test_the_answer_is_text_model_and_usage():
    body = json.loads(last(prompt=10, output=5)) | {"message": {"thinking": "hm", "content": "world ü"}}
    told = json.loads(exchange.open(call(), TARGET).answer(json.dumps(body).encode()))
    usage = {"input_tokens": 10, "output_tokens": 5}
    assert told == {"text": "world ü", "model": "asked", "stop_reason": "end_turn", "usage": usage}


@given(cuts=streams.cuts)
def test_a_stream_is_pieces_of_text_and_then_the_rest(cuts):
    *pieces, end = streamed(*streams.split(STREAM, cuts))
    assert "".join(piece["text"] for piece in pieces) == "world ü"
    usage = {"input_tokens": 10, "output_tokens": 5}
    assert end == {"model": "asked", "stop_reason": "max_tokens", "usage": usage}


def test_a_stream_that_breaks_ends_in_an_error():
    *pieces, end = streamed(line(content="a"), b'{"error":"it burns"}\n')
    assert [piece["text"] for piece in pieces] == ["", "a"]
    assert end["error"]["message"] == "it burns"
