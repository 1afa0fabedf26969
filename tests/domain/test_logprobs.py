"""How likely an answer's tokens were, between OpenAI's two dialects, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target
from tests.domain import responses_calls

TOP = [{"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108]}, {"token": "Hi", "logprob": -2.0, "bytes": None}]
FIRST = {"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108], "top_logprobs": TOP}
SECOND = {"token": "lo", "logprob": -0.25, "bytes": [108, 111], "top_logprobs": []}
INCLUDE = ["message.output_text.logprobs"]
# As Responses tells it: bytes are always a list there.
TOLD = [FIRST | {"top_logprobs": [TOP[0], TOP[1] | {"bytes": []}]}, SECOND]


def opened(client: str, upstream: str, **fields: Any) -> exchange.Exchange:
    body = {"model": "m", "input": "hi", "messages": [{"role": "user", "content": "hi"}], **fields}
    del body["input" if client == "openai_chat" else "messages"]
    target = Target(protocol=upstream, model="up", max_output_tokens=99)
    return exchange.open(registry.CLIENTS[client].read_request(json.dumps(body).encode()), target, request_id="req_1")


def responses_caller(**fields: Any) -> exchange.Exchange:
    return opened("openai_responses", "openai_chat", include=INCLUDE, top_logprobs=2, **fields)


def chat_caller(**fields: Any) -> exchange.Exchange:
    return opened("openai_chat", "openai_responses", logprobs=True, top_logprobs=2, **fields)


def frames(raw: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def chunk(**choice: Any) -> bytes:
    whole = {"index": 0, "delta": {}, "finish_reason": None, **choice}
    return b"data: %b\n\n" % json.dumps({"id": "c", "model": "up", "choices": [whole]}).encode()


def test_a_responses_caller_is_told_them_by_a_chat_model():
    choice = {"message": {"content": "Hello"}, "logprobs": {"content": [FIRST, SECOND]}, "finish_reason": "stop"}
    answer = json.loads(responses_caller().answer(json.dumps({"id": "c", "choices": [choice]}).encode()))
    (part,) = answer["output"][0]["content"]
    assert (part["text"], part["logprobs"]) == ("Hello", TOLD)
    assert answer["top_logprobs"] == 2


def test_a_streaming_responses_caller_is_told_them_with_each_delta_and_at_the_end():
    asked = responses_caller(stream=True)
    happened = frames(
        asked.feed(chunk(delta={"content": "Hel"}, logprobs={"content": [FIRST]}))
        + asked.feed(chunk(delta={"content": "lo"}, logprobs={"content": [SECOND]}))
        + asked.feed(chunk(finish_reason="stop") + b"data: [DONE]\n\n")
    )
    deltas = [event["logprobs"] for event in happened if event["type"] == "response.output_text.delta"]
    assert deltas == [[TOLD[0]], [TOLD[1]]]
    (done,) = (event for event in happened if event["type"] == "response.output_text.done")
    assert done["logprobs"] == TOLD
    assert happened[-1]["response"]["output"][0]["content"][0]["logprobs"] == TOLD


def test_a_chat_caller_is_told_them_by_a_responses_model():
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": TOLD}
    raw = responses_calls.answer("completed", {"type": "message", "id": "m", "role": "assistant", "content": [part]})
    (choice,) = json.loads(chat_caller().answer(raw))["choices"]
    assert choice["message"]["content"] == "Hello"
    assert choice["logprobs"] == {"content": TOLD, "refusal": None}


def test_a_streaming_chat_caller_is_told_them_in_the_chunk_of_their_text():
    asked = chat_caller(stream=True)
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    happened = frames(
        asked.feed(responses_calls.CREATED)
        + asked.feed(responses_calls.event("response.output_text.delta", **place, delta="Hel", logprobs=[FIRST]))
        + asked.feed(responses_calls.event("response.output_text.delta", **place, delta="lo", logprobs=[]))
        + asked.feed(responses_calls.completed())
    )
    said = [(one["choices"][0]["delta"].get("content"), one["choices"][0]["logprobs"]) for one in happened]
    assert said == [("", None), ("Hel", {"content": [FIRST], "refusal": None}), ("lo", None), (None, None)]


def test_an_item_that_comes_whole_in_a_stream_tells_them():
    asked = chat_caller(stream=True)
    part = {"type": "output_text", "text": "Hello", "logprobs": TOLD}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
    happened = frames(
        asked.feed(responses_calls.CREATED)
        + asked.feed(responses_calls.event("response.output_item.done", output_index=0, item=item))
        + asked.feed(responses_calls.completed(item))
    )
    assert [one["choices"][0]["logprobs"] for one in happened][1] == {"content": TOLD, "refusal": None}


def test_those_of_text_that_waits_come_with_it():
    asked = responses_caller(stream=True)
    happened = frames(
        asked.feed(chunk(delta={"content": "<thi"}, logprobs={"content": [FIRST]}))
        + asked.feed(chunk(delta={"content": "s"}, logprobs={"content": [SECOND]}))
        + asked.feed(chunk(finish_reason="stop") + b"data: [DONE]\n\n")
    )
    assert [event["logprobs"] for event in happened if event["type"] == "response.output_text.delta"] == [TOLD]


@pytest.mark.parametrize(
    "other", [{"reasoning_content": "Hm"}, {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}]
)
def test_those_of_a_thought_or_a_call_are_not_told_of_the_text_behind_it(other):
    asked = responses_caller(stream=True)
    happened = frames(
        asked.feed(chunk(delta=other, logprobs={"content": [FIRST]}))
        + asked.feed(chunk(delta={"content": "lo"}, logprobs={"content": [SECOND]}))
        + asked.feed(chunk(finish_reason="stop") + b"data: [DONE]\n\n")
    )
    told = [event["logprobs"] for event in happened if event["type"] == "response.output_text.delta"]
    assert told == [[TOLD[1]]]


@pytest.mark.parametrize("odd", [5, "x", {"tokens": ["a"]}, {"content": [{"token": 5}]}, {"content": {}}])
def test_what_a_vendor_tells_in_its_own_way_does_no_harm(odd):
    choice = {"message": {"content": "Hello"}, "logprobs": odd, "finish_reason": "stop"}
    answer = json.loads(responses_caller().answer(json.dumps({"id": "c", "choices": [choice]}).encode()))
    assert answer["output"][0]["content"][0]["logprobs"] == []
    asked = responses_caller(stream=True)
    streamed = asked.feed(chunk(delta={"content": "Hello"}, logprobs=odd)) + asked.feed(chunk(finish_reason="stop"))
    assert b'"delta":"Hello","logprobs":[]' in streamed
