"""What a caller is told when the upstream refuses, for every pair of dialects."""

import itertools
import json

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
