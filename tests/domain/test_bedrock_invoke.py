"""Claude through InvokeModel: what comes of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from apps.domain import errors, sse
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from tests.domain import frames, grammar
from tests.domain.streams import cuts, split

ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
TARGET = Target(protocol="bedrock_invoke", model="eu.anthropic.claude-opus-4-8-v1:0", max_output_tokens=1000)
ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "hi — “ok”"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 134},
    },
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 90}},
]
NATIVE = b"".join(
    sse.frame(event["type"], json.dumps({k: v for k, v in event.items() if "metrics" not in k.lower()}).encode())
    for event in EVENTS
)
STREAM = frames.invoke(EVENTS)


def relay(client: str = ANTHROPIC) -> Exchange:
    body = ASK | {"stream": True} | ({"stream_options": {"include_usage": True}} if client == OPENAI else {})
    asked = registry.CLIENTS[client].read_request(json.dumps(body).encode())
    return exchange.open(asked, TARGET, request_id="req_1", created=1)


@given(cuts)
def test_a_stream_is_anthropics_own_however_it_is_split(at):
    exchange = relay()
    assert b"".join(map(exchange.feed, split(STREAM, at))) + exchange.close() == NATIVE
    seen = exchange.seen
    assert (seen.finished, seen.error, seen.stop_reason, seen.response_id) == (True, None, "end_turn", "msg_bdrk_1")
    assert seen.usage is not None
    assert (seen.usage.in_fresh, seen.usage.in_cache_read, seen.usage.out_total) == (7, 3, 134), "not the metrics'"


@given(cuts)
def test_a_translated_stream_is_the_same_however_it_is_split(at):
    whole, cut = relay(OPENAI), relay(OPENAI)
    first = whole.feed(STREAM) + whole.close()
    assert b"".join(map(cut.feed, split(STREAM, at))) + cut.close() == first
    told = grammar.openai(first, wants_usage=True)
    assert (told.text, told.thinking, told.error) == ("hi — “ok”", "hm", None)


BROKEN = {
    "cut between events": (frames.invoke(EVENTS[:4]), "api_error"),
    "cut in a message": (frames.invoke(EVENTS[:8])[:-9], "api_error"),
    "without an end": (frames.invoke(EVENTS[:8]), "api_error"),
    "throttled": (frames.invoke(EVENTS[:4]) + frames.exception("throttlingException", "slow down"), "overloaded_error"),
    "timed out": (frames.invoke(EVENTS[:4]) + frames.exception("modelTimeoutException", "late"), "timeout_error"),
    "failed": (frames.invoke(EVENTS[:4]) + frames.fault("InternalFailure", "lost"), "api_error"),
    "refused": (frames.invoke(EVENTS[:4]) + frames.exception("validationException", "no"), "invalid_request_error"),
    "an error of Claude's own": (
        frames.invoke([*EVENTS[:4], {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}]),
        "overloaded_error",
    ),
    "no base64": (frames.invoke(EVENTS[:4]) + frames.event("chunk", {"bytes": "&&"}), "api_error"),
    "no bytes": (frames.invoke(EVENTS[:4]) + frames.event("chunk", {"p": "abc"}), "api_error"),
    "no JSON": (frames.invoke(EVENTS[:4]) + frames.chunk(b"{"), "api_error"),
    "no type": (frames.invoke(EVENTS[:4]) + frames.chunk(b'{"a":1}'), "api_error"),
    "a type with a line end": (
        frames.invoke(EVENTS[:4]) + frames.chunk(b'{"type":"a\\nevent: message_stop"}'),
        "api_error",
    ),
    "deep": (frames.invoke(EVENTS[:4]) + frames.chunk(b'{"type":' + b"[" * 100_000), "api_error"),
    "a flipped bit": (frames.invoke(EVENTS[:4]) + STREAM[:99] + b"?" + STREAM[100:], "api_error"),
    "a server-sent event": (frames.invoke(EVENTS[:4]) + NATIVE, "api_error"),
}


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(("stream", "kind"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_stream_ends_in_one_error_of_its_class_however_it_is_split(stream, kind, client):
    whole, dripped = relay(client), relay(client)
    first = whole.feed(stream) + whole.close()
    assert b"".join(dripped.feed(stream[at : at + 1]) for at in range(len(stream))) + dripped.close() == first
    assert whole.seen.error is not None
    assert not whole.seen.finished
    told = grammar.anthropic(first) if client == ANTHROPIC else grammar.openai(first, wants_usage=True)
    assert told.error is not None
    if client == ANTHROPIC:
        assert told.error["type"] == kind
    assert whole.feed(STREAM) == b""


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (frames.exception("throttlingException", "slow down"), errors.UpstreamRateLimited),
        (frames.exception("serviceUnavailableException", "away"), errors.UpstreamOverloaded),
        (frames.invoke(EVENTS[1:]), errors.UpstreamBroken),
        (b"<html>" * 50, errors.UpstreamBroken),
        (b"", errors.UpstreamBroken),
    ],
)
def test_before_its_beginning_a_failure_is_silent_so_that_another_may_be_tried(stream, kind, client):
    exchange = relay(client)
    assert exchange.feed(stream) + exchange.close() == b""
    assert type(exchange.seen.error) is kind
    assert exchange.seen.error.retryable


def test_a_stream_that_lacks_nothing_but_its_end_is_an_error():
    exchange = relay()
    told = exchange.feed(frames.invoke(EVENTS[:-1])) + exchange.close()
    assert told.startswith(NATIVE[: NATIVE.index(b"event: message_stop")])
    assert told.count(b"event: error") == 1
    assert isinstance(exchange.seen.error, errors.UpstreamBroken)


def test_what_follows_the_end_is_nothing_to_anybody():
    exchange = relay()
    late = frames.exception("internalServerException", "too late") + frames.invoke(EVENTS)
    assert exchange.feed(STREAM + late) + exchange.feed(late) + exchange.close() == NATIVE
    assert exchange.seen.error is None


def test_a_line_end_inside_an_event_does_not_cut_it():
    data = json.dumps(EVENTS[0], indent=1).replace("\n", "\r\n").encode()
    exchange = relay()
    (frame,) = sse.Decoder().feed(exchange.feed(frames.chunk(data)))
    assert json.loads(frame.data) == EVENTS[0]


def test_a_failure_holds_no_credential():
    asked = registry.CLIENTS[ANTHROPIC].read_request(json.dumps(ASK | {"stream": True}).encode())
    cut = exchange.open(asked, TARGET, request_id="r", cut=lambda told: told.replace(b"wJalrXUt", b"[removed]"))
    told = cut.feed(frames.invoke(EVENTS[:2]) + frames.exception("internalServerException", "of wJalrXUt"))
    assert b"wJalrXUt" not in told
    assert b"of [removed]" in told
