"""A caller and a provider that both speak Responses: the bytes stay, and what matters is learnt on the way."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors
from apps.domain.chat import Thinking
from apps.domain.protocols import exchange
from apps.domain.protocols.contract import Target
from apps.domain.protocols.openai_responses import names
from apps.domain.tokens import TokenUsage
from tests.domain import grammar
from tests.domain.responses_calls import (
    CLIENT,
    CREATED,
    answer,
    completed,
    event,
    function_call,
    message,
    opened,
    response,
)

DELTA = event("response.output_text.delta", sequence_number=7, item_id="m", output_index=0, content_index=0, delta="Hé")
COUNTED = TokenUsage(in_fresh=6, in_cache_read=4, out_total=5, out_reasoning=2)
TARGET = Target(protocol="openai_responses", model="up", max_output_tokens=1000)


def sent(body: bytes, *, cap: int = 1000) -> bytes:
    target = Target(protocol="openai_responses", model="up", max_output_tokens=cap)
    return exchange.open(CLIENT.read_request(body), target).body


def test_only_the_model_and_a_missing_cap_are_written():
    body = b'{ "input" : [ {"role":"user", "content":"h\\u00e9"} ],\n "model":"m", "odd": {"a":[ ]}, "store" : true }'
    expected = body.replace(b'"model":"m"', b'"model":"up"').replace(b"true }", b'true,"max_output_tokens":1000 }')
    assert sent(body) == expected
    assert sent(body, cap=0) == body.replace(b'"model":"m"', b'"model":"up"')
    capped = body.replace(b'"odd"', b'"max_output_tokens": 5, "odd"')
    assert sent(capped) == capped.replace(b'"model":"m"', b'"model":"up"')


def test_thinking_of_other_vendors_does_not_reach_openai():
    theirs = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    ours = [
        {"type": "reasoning", "summary": [], "encrypted_content": names.seal(block)}
        for block in (Thinking("Hm.", "EqQB"), Thinking("Hm."))
    ]
    said = {"role": "user", "content": 'About "gw1.": nothing'}
    body = json.dumps(
        {"model": "m", "input": [said, *ours, theirs, function_call("{}")], "max_output_tokens": 9}
    ).encode()
    assert json.loads(sent(body))["input"] == [said, theirs, function_call("{}")]
    plain = json.dumps({"model": "up", "input": [said, theirs], "max_output_tokens": 9}).encode()
    assert sent(plain) == plain


def test_a_whole_answer_is_relayed_and_counted():
    relay = opened(stream=False)
    body = answer("completed", message("Hi"), function_call("{}"))
    assert relay.answer(body) == body
    seen = relay.seen
    assert (seen.usage, seen.stop_reason, seen.response_id, seen.model) == (COUNTED, "tool_use", "resp_1", "up-1")
    assert seen.finished


def test_of_an_answer_without_usage_what_was_said_is_measured_and_not_how_likely_it_was():
    relay = opened(stream=False)
    other = {"token": "y", "logprob": -2.0, "bytes": [121]}
    likely = [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": [other] * 5}] * 100
    told = [{"type": "output_text", "text": "x" * 100, "logprobs": likely}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E" * 40}
    relay.answer(answer("completed", thought, message("", content=told), function_call('{"a":1}'), usage=None))
    assert relay.seen.output_bytes == 40 + 100 + len('{"a":1}')


def test_a_failure_under_status_200_is_raised():
    with pytest.raises(errors.UpstreamRateLimited):
        opened(stream=False).answer(answer("failed", error={"code": "rate_limit_exceeded", "message": "x"}))


@pytest.mark.parametrize(("status", "stop"), [("completed", "end_turn"), ("incomplete", "max_tokens")])
def test_a_stream_is_relayed_as_it_comes(status, stop):
    relay = opened()
    last = completed(message("Hé"), status=status, incomplete_details={"reason": "max_output_tokens"})
    assert relay.feed(CREATED) == CREATED
    assert relay.seen.started
    assert relay.feed(DELTA) == DELTA
    assert relay.feed(last) == last
    assert relay.close() == b""
    seen = relay.seen
    assert (seen.usage, seen.stop_reason, seen.response_id, seen.finished) == (COUNTED, stop, "resp_1", True)
    assert seen.output_bytes == 7  # "H\u00e9", as it is escaped


def test_nothing_goes_out_before_the_answer_begins():
    relay = opened()
    assert relay.feed(b": wait\n\n") == b""
    assert relay.feed(CREATED) == b": wait\n\n" + CREATED


@pytest.mark.parametrize(
    "first",
    [
        event("error", code="server_error", message="x"),
        event("response.failed", response=response("failed", error={"code": "server_error", "message": "x"})),
        b"data: {\n\n",
    ],
)
def test_a_stream_that_begins_with_a_failure_may_still_be_tried_elsewhere(first):
    relay = opened()
    assert relay.feed(first) == b""
    assert relay.seen.error is not None
    assert not relay.seen.started


def test_a_failure_on_the_way_is_the_last_event_and_keeps_its_class():
    relay = opened()
    failed = event(
        "response.failed", response=response("failed", error={"code": "rate_limit_exceeded", "message": "x"})
    )
    assert relay.feed(CREATED + DELTA + failed + DELTA) == CREATED + DELTA + failed
    assert isinstance(relay.seen.error, errors.UpstreamRateLimited)
    assert relay.feed(DELTA) == relay.close() == b""


def test_a_stream_that_was_cut_ends_as_a_response_that_failed():
    relay = opened()
    out = relay.feed(CREATED + DELTA + b"event: resp") + relay.close()
    assert out.startswith(CREATED + DELTA)
    name, data = grammar.events(out)[-1]
    last = json.loads(data)
    assert (name, last["sequence_number"], last["response"]["id"]) == ("response.failed", 8, "resp_1")
    assert isinstance(relay.seen.error, errors.UpstreamBroken)


def test_somebody_elses_end_is_the_next_event_of_the_same_answer():
    """A gateway that closes, a budget that is spent."""
    for upstream, begun in (("openai_responses", CREATED + DELTA), ("openai_chat", b'data: {"choices":[{}]}\n\n')):
        running = opened(upstream=upstream)
        out = running.feed(begun) + running.fail(errors.BudgetExhausted("spent"))
        frames = [json.loads(data) for _, data in grammar.events(out)]
        assert frames[-1]["type"] == "response.failed"
        assert frames[-1]["response"]["error"]["code"] == "insufficient_quota"
        assert frames[-1]["response"]["id"] == frames[0]["response"]["id"]
        assert frames[-1]["sequence_number"] == frames[-2].get("sequence_number", -1) + 1


def test_an_error_is_relayed_as_the_provider_wrote_it():
    body = b'{"error": {"message": "No such tool", "type": "invalid_request_error", "param": "tools", "code": null}}'
    error = opened().refuse(400, {}, body)
    assert CLIENT.write_error(error, request_id="req_1").body == body
