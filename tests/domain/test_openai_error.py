"""Errors in OpenAI's envelope, and an OpenAI-type upstream's in our tree."""

from __future__ import annotations

import json

import pytest

from apps.domain import errors
from apps.domain.protocols import refusal
from apps.domain.protocols.openai_chat import CLIENT, UPSTREAM

LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."


def written(error: errors.GatewayError) -> tuple[int, str, str | None, dict[str, str]]:
    shape = CLIENT.write_error(error, request_id="req_1")
    inner = json.loads(shape.body)["error"]
    assert set(inner) == {"message", "type", "param", "code"}
    return shape.status, inner["type"], inner["code"], dict(shape.headers)


def read(status: int, body: bytes | dict = b"", **headers: str) -> errors.UpstreamError:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal.cleaned(UPSTREAM.read_error(status, named, raw), cut=bytes)


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.InvalidRequest("x", param="n"), 400, "invalid_request_error", None),
        (errors.ContextOverflow("x"), 400, "invalid_request_error", "context_length_exceeded"),
        (errors.AuthenticationFailed("x"), 401, "invalid_request_error", "invalid_api_key"),
        (errors.PermissionDenied("x"), 403, "permission_error", None),
        (errors.NotFound("x"), 404, "invalid_request_error", None),
        (errors.ModelNotFound("x"), 404, "invalid_request_error", "model_not_found"),
        (errors.MethodNotAllowed("x"), 405, "invalid_request_error", "method_not_allowed"),
        (errors.BodyTooLarge("x"), 413, "invalid_request_error", "request_too_large"),
        (errors.RateLimited("x requests per minute"), 429, "requests", "rate_limit_exceeded"),
        (errors.RateLimited("x tokens per minute"), 429, "tokens", "rate_limit_exceeded"),
        (errors.BudgetExhausted("x"), 429, "insufficient_quota", "insufficient_quota"),
        (errors.UpstreamRefused("x", code="odd"), 400, "invalid_request_error", "odd"),
        (
            errors.UpstreamRefused("x", upstream_status=413, code="context_length_exceeded"),
            400,
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (errors.UpstreamAuth("x"), 502, "server_error", None),
        (errors.UpstreamRateLimited("x"), 429, "requests", "rate_limit_exceeded"),
        (errors.UpstreamOverloaded("x"), 503, "server_error", "overloaded"),
        (errors.UpstreamFailed("x"), 502, "server_error", None),
        (errors.UpstreamTimeout("x"), 504, "server_error", "timeout"),
        (errors.UpstreamBroken("x"), 502, "server_error", None),
        (errors.NoDeployment("x"), 503, "server_error", "overloaded"),
        (errors.NoPrice("x"), 503, "server_error", "no_price"),
        (errors.Unavailable("x"), 503, "server_error", "overloaded"),
        (errors.InternalError("x"), 500, "server_error", None),
    ],
)
def test_every_error_has_openais_status_type_and_code(error, status, kind, code):
    assert written(error)[:3] == (status, kind, code)


def test_the_headers_say_when_and_whether_to_come_back():
    assert written(errors.BudgetExhausted("x", retry_after=1.2))[3] == {"retry-after": "2", "x-should-retry": "false"}
    assert written(errors.UpstreamAuth("x"))[3] == {"x-should-retry": "false"}
    assert written(errors.RateLimited("x", headers=(("a", "b"),)))[3] == {"a": "b"}


def test_an_unknown_model_is_told_in_openais_words():
    body = json.loads(CLIENT.write_error(errors.ModelNotFound("model: gpt-9", param="model"), request_id="r").body)
    assert body["error"]["message"] == "The model `gpt-9` does not exist or you do not have access to it."


def test_the_offending_field_is_named():
    body = json.loads(CLIENT.write_error(errors.InvalidRequest("bad", param="messages[0]"), request_id="r").body)
    assert body["error"]["param"] == "messages[0]"


def test_the_last_frames_of_a_failed_stream():
    assert CLIENT.stream_error(errors.UpstreamBroken("cut"), request_id="r") == (
        b'data: {"error":{"message":"cut","type":"server_error","param":null,"code":null}}\n\ndata: [DONE]\n\n'
    )


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, {"error": {"message": "no", "type": "invalid_request_error"}}, errors.UpstreamRefused),
        (401, {"error": {"message": "no"}}, errors.UpstreamAuth),
        (402, {"error": {"message": "no"}}, errors.UpstreamAuth),
        (403, {"error": {"message": "no"}}, errors.UpstreamAuth),
        (404, {"error": {"message": "no", "code": "model_not_found"}}, errors.UpstreamRefused),
        (408, b"", errors.UpstreamTimeout),
        (413, b"", errors.UpstreamRefused),
        (422, {"detail": "no"}, errors.UpstreamRefused),
        (424, b"", errors.UpstreamFailed),
        (429, {"error": "slow down"}, errors.UpstreamRateLimited),
        (429, {"error": {"message": "no", "code": "insufficient_quota"}}, errors.UpstreamAuth),
        (500, b"<html>", errors.UpstreamFailed),
        (502, b"", errors.UpstreamFailed),
        (503, b"", errors.UpstreamOverloaded),
        (504, b"", errors.UpstreamTimeout),
        (529, b"", errors.UpstreamOverloaded),
        (302, b"", errors.UpstreamFailed),
    ],
)
def test_an_upstreams_status_says_what_it_means(status, body, fault):
    error = read(status, body)
    assert type(error) is fault
    assert error.upstream_status == status
    assert error.message


def test_an_upstreams_pause_is_kept():
    assert read(429, retry_after="3").retry_after == 3
    assert read(503, retry_after_ms="1500").retry_after == 1.5


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": LONG, "code": "context_length_exceeded"}},
        {"error": {"message": LONG}},
        {"error": {"message": "Your input exceeds the context window of this model."}},
        {"message": "prompt too long; exceeded max context length by 5 tokens"},
    ],
)
def test_an_overlong_prompt_is_recognised_in_any_words(body):
    error = read(400, body)
    assert error.code == "context_length_exceeded"


def test_a_refusal_keeps_its_words_its_field_and_its_body_without_credentials():
    key = "sk-proj-abcdefghijkl"
    error = read(400, {"error": {"message": f"no {key}", "param": "n", "code": "odd", "type": "invalid_request_error"}})
    assert isinstance(error, errors.UpstreamRefused)
    assert (error.param, error.code) == ("n", "odd")
    assert error.body is not None
    assert key not in error.message
    assert key.encode() not in error.body
    assert CLIENT.write_error(error, request_id="r").body == error.body


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"[" * 100_000, b'[{"error":{"message":"no"}}]', b"null", b'{"error":5}']
)
def test_any_body_is_survived(body):
    assert isinstance(read(400, body), errors.UpstreamRefused)
