"""What Bedrock says instead of an answer."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors, eventstream
from apps.domain.protocols import bedrock_errors, registry
from tests.domain import frames

AUTH, LIMITED, REFUSED = errors.UpstreamAuth, errors.UpstreamRateLimited, errors.UpstreamRefused
FAILED, OVERLOADED, TIMEOUT = errors.UpstreamFailed, errors.UpstreamOverloaded, errors.UpstreamTimeout


def read(status: int, name: str, message: str = "said") -> errors.UpstreamError:
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return bedrock_errors.read_error(status, headers, json.dumps({"message": message}).encode())


@pytest.mark.parametrize(
    ("status", "name", "kind", "told"),
    [
        (400, "ValidationException", REFUSED, 400),
        (400, "ServiceQuotaExceededException", LIMITED, 429),
        (400, "ExpiredTokenException", AUTH, 502),
        (403, "AccessDeniedException", AUTH, 502),
        (403, "UnrecognizedClientException", AUTH, 502),
        (403, "InvalidSignatureException", AUTH, 502),
        (403, "", AUTH, 502),
        (404, "ResourceNotFoundException", REFUSED, 404),
        (408, "ModelTimeoutException", TIMEOUT, 504),
        (413, "RequestEntityTooLargeException", REFUSED, 413),
        (424, "ModelErrorException", FAILED, 502),
        (424, "", FAILED, 502),
        (429, "ThrottlingException", LIMITED, 429),
        (429, "ModelNotReadyException", LIMITED, 429),
        (500, "InternalServerException", FAILED, 502),
        (503, "ServiceUnavailableException", OVERLOADED, 529),
        (418, "NewException", REFUSED, 418),
    ],
)
def test_a_status_and_its_exception_are_one_of_our_errors(status, name, kind, told):
    error = read(status, name)
    assert type(error) is kind
    assert (error.status, error.upstream_status) == (told, status)
    assert kind is AUTH or error.message == "said"


def test_the_exceptions_name_is_found_in_the_body_too():
    body = b'{"__type":"com.amazon.coral.service#ThrottlingException","Message":"Too many tokens"}'
    error = bedrock_errors.read_error(400, {}, body)
    assert (type(error), error.message) == (LIMITED, "Too many tokens")


def test_an_unknown_model_is_the_callers_404_in_both_dialects():
    error = read(400, "ValidationException", "The provided model identifier is invalid.")
    anthropic = registry.CLIENTS["anthropic_messages"].write_error(error, request_id="r")
    error.body = None
    openai = registry.CLIENTS["openai_chat"].write_error(error, request_id="r")
    assert (anthropic.status, openai.status) == (404, 404)
    assert json.loads(openai.body)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum.",
        "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
    ],
)
def test_an_overlong_prompt_is_known_by_its_words(message):
    error = read(400, "ValidationException", message)
    error.body = None
    assert error.code == "context_length_exceeded"
    told = registry.CLIENTS["anthropic_messages"].write_error(error, request_id="r")
    assert json.loads(told.body)["error"]["message"].startswith("prompt is too long")


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[1]", b'{"message":3}', b"\xff"])
def test_a_body_that_says_nothing_is_a_failure_all_the_same(body):
    error = bedrock_errors.read_error(500, {}, body)
    assert (type(error), error.message) == (FAILED, "the provider answered with status 500")


def streamed(data: bytes) -> errors.UpstreamError:
    (message,) = eventstream.Decoder().feed(data)
    return bedrock_errors.read_exception(message)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (frames.exception("throttlingException", "slow down"), LIMITED, "slow down"),
        (frames.exception("modelTimeoutException", "late"), TIMEOUT, "late"),
        (frames.exception("modelStreamErrorException", "broke"), FAILED, "broke"),
        (frames.exception("modelStreamErrorException", "busy", originalStatusCode=529), OVERLOADED, "busy"),
        (frames.exception("modelStreamErrorException", "hm", originalStatusCode=200), FAILED, "hm"),
        (frames.exception("serviceUnavailableException", "away"), OVERLOADED, "away"),
        (frames.exception("internalServerException", "oops"), FAILED, "oops"),
        (frames.exception("validationException", "no"), REFUSED, "no"),
        (frames.exception("newException", "new"), FAILED, "new"),
        (frames.exception("internalServerException", ""), FAILED, "internalServerException"),
        (frames.fault("InternalFailure", "all is lost"), FAILED, "all is lost"),
        (frames.fault("ServiceUnavailable", "away"), OVERLOADED, "away"),
        (frames.fault("Throttling", "slow down"), LIMITED, "slow down"),
    ],
)
def test_an_exception_in_a_stream_keeps_its_class(data, kind, message):
    error = streamed(data)
    assert (type(error), error.message, error.upstream_status) == (kind, message, 200)
    assert getattr(error, "body", None) is None
