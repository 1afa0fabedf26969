"""What a caller is told when the upstream refuses, for every pair of dialects."""

import itertools
import json
import time

import pytest

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target
from tests.domain import anthropic_calls, openai_calls

PAIRS = list(itertools.product(("anthropic_messages", "openai_chat"), repeat=2))
CROSS = [(client, upstream) for client, upstream in PAIRS if client != upstream]
CALLS = {"anthropic_messages": anthropic_calls.call, "openai_chat": openai_calls.call}


def opened(client, upstream):
    return exchange.open(CALLS[client](), Target(protocol=upstream, model="up", max_output_tokens=4096))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_refusal_goes_unmodified_to_a_caller_of_the_dialect_and_in_his_words_to_others(client, upstream):
    body = b'{"error": {"type": "invalid_request_error", "message": "no such thing"}, "extra": 1}'
    error = opened(client, upstream).refuse(400, {}, body)
    shape = registry.CLIENTS[client].write_error(error, request_id="req_1")
    assert shape.status == 400
    if client == upstream:
        assert shape.body == body
    else:
        told = json.loads(shape.body)
        assert "extra" not in told
        assert told["error"]["message"] == "no such thing"


@pytest.mark.parametrize(("client", "upstream"), CROSS)
def test_an_overlong_prompt_is_said_in_the_callers_words(client, upstream):
    told = {
        "anthropic_messages": {
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 5"}
        },
        "openai_chat": {"error": {"message": "Your input exceeds the window", "code": "context_length_exceeded"}},
    }
    error = opened(client, upstream).refuse(400, {}, json.dumps(told[upstream]).encode())
    shape = registry.CLIENTS[client].write_error(error, request_id="req_1")
    said = json.loads(shape.body)["error"]
    assert shape.status == 400
    if client == "anthropic_messages":
        assert said["message"].startswith("prompt is too long")
    else:
        assert said["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("status", [401, 403])
def test_our_bad_credential_is_not_told_as_the_callers(client, upstream, status):
    error = opened(client, upstream).refuse(status, {}, b'{"error":{"message":"bad key sk-ant-123456789"}}')
    shape = registry.CLIENTS[client].write_error(error, request_id="req_1")
    assert shape.status == 502
    assert ("x-should-retry", "false") in shape.headers
    assert b"sk-ant" not in shape.body


FIELDS = {
    "anthropic_messages": {"max_tokens": 9, "metadata": {"user_id": "u"}},
    "openai_chat": {"max_tokens": 9, "user": "u"},
    "openai_responses": {"max_output_tokens": 90, "safety_identifier": "u"},
}
HELLO = [{"role": "user", "content": "hi"}]


def told(client, upstream, message, param=None):
    """What the caller reads of an upstream's refusal: its message, and the field that it blames."""
    body = {"model": "m", **({"input": "hi"} if client == "openai_responses" else {"messages": HELLO})}
    call = registry.CLIENTS[client].read_request(json.dumps(body | FIELDS[client]).encode())
    asked = exchange.open(call, Target(protocol=upstream, model="up", max_output_tokens=4096))
    raw = {"error": {"type": "invalid_request_error", "message": message, "param": param, "code": None}}
    error = asked.refuse(400, {}, json.dumps(raw).encode())
    said = json.loads(registry.CLIENTS[client].write_error(error, request_id="req_1").body)["error"]
    return said["message"], said.get("param")


@pytest.mark.parametrize(
    ("client", "upstream", "message", "param", "heard", "blamed"),
    [
        ("openai_chat", "anthropic_messages", "max_tokens: 9 > 8", None, "max_tokens: 9 > 8", "max_tokens"),
        (
            "openai_responses",
            "anthropic_messages",
            "max_tokens: 9 > 8",
            None,
            "max_output_tokens: 9 > 8",
            "max_output_tokens",
        ),
        (
            "openai_chat",
            "anthropic_messages",
            "stop_sequences: must not be blank",
            None,
            "stop: must not be blank",
            "stop",
        ),
        (
            "openai_chat",
            "anthropic_messages",
            "messages.0.content.1.image.source.base64: bad",
            None,
            "messages: bad",
            "messages",
        ),
        ("openai_chat", "anthropic_messages", "metadata.user_id: too long", None, "user: too long", "user"),
        ("openai_chat", "anthropic_messages", "container: unknown", None, "container: unknown", None),
        (
            "anthropic_messages",
            "openai_responses",
            "Invalid 'input[0].content[1].image_url'.",
            "input[0].content[1].image_url",
            "Invalid 'messages'.",
            None,
        ),
        (
            "anthropic_messages",
            "openai_chat",
            "Unsupported parameter: 'max_tokens' is not supported.",
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported.",
            None,
        ),
        (
            "openai_chat",
            "openai_responses",
            "Invalid 'text.format.schema'.",
            "text.format.schema",
            "Invalid 'response_format'.",
            "response_format",
        ),
        (
            "openai_responses",
            "openai_chat",
            "Unknown: 'messages[3].content'.",
            "messages[3].content",
            "Unknown: 'input'.",
            "input",
        ),
        ("openai_chat", "openai_responses", "Your input is bad.", "input", "Your input is bad.", "messages"),
        (
            "openai_chat",
            "openai_responses",
            "Unknown parameter: 'store'.",
            "store",
            "Unknown parameter: 'store'.",
            None,
        ),
        ("openai_responses", "anthropic_messages", "Something: else", None, "Something: else", None),
    ],
)
def test_a_field_is_called_what_the_caller_calls_it(client, upstream, message, param, heard, blamed):
    assert told(client, upstream, message, param) == (heard, blamed)


@pytest.mark.parametrize("dialects", [("openai_chat", "anthropic_messages"), ("openai_responses", "openai_chat")])
def test_a_place_as_long_as_an_error_can_be_is_told_at_once(dialects):
    place = "messages" + ".a" * 300_000
    began = time.thread_time()
    _, blamed = told(*dialects, f"{place}: no", place if "openai_chat" in dialects[1] else None)
    assert time.thread_time() - began < 2  # two seconds are three hundred times what it takes
    assert blamed == ("messages" if dialects[0] == "openai_chat" else "input")


def test_a_stream_that_fails_blames_the_callers_field_too():
    call = registry.CLIENTS["openai_chat"].read_request(json.dumps({"model": "m", "messages": HELLO}).encode())
    asked = exchange.open(call, Target(protocol="openai_responses", model="up", max_output_tokens=4096))
    fault = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad", "param": "input[0]"}}
    asked.feed(b"event: error\ndata: %b\n\n" % json.dumps(fault).encode())
    assert asked.seen.error.param == "messages"
