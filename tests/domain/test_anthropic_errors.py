"""Errors in Anthropic's envelope, and an Anthropic-type upstream's in our tree: PROTOCOLS A11."""

import json

import pytest

from apps.domain import errors
from apps.domain.protocols import refusal
from tests.domain import grammar
from tests.domain.anthropic_calls import CLIENT, UPSTREAM


def written(error):
    shape = CLIENT.write_error(error, request_id="req_1")
    return shape.status, json.loads(shape.body), dict(shape.headers)


def read(status, body=b"", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal.cleaned(UPSTREAM.read_error(status, named, raw), cut=bytes)


def envelope(type_="invalid_request_error", message="why"):
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_theirs"}


@pytest.mark.parametrize(
    ("error", "status", "type_"),
    [
        (errors.InvalidRequest("m"), 400, "invalid_request_error"),
        (errors.AuthenticationFailed("m"), 401, "authentication_error"),
        (errors.PermissionDenied("m"), 403, "permission_error"),
        (errors.NotFound("m"), 404, "not_found_error"),
        (errors.ModelNotFound("m"), 404, "not_found_error"),
        (errors.MethodNotAllowed("m"), 405, "invalid_request_error"),
        (errors.BodyTooLarge("m"), 413, "request_too_large"),
        (errors.RateLimited("m"), 429, "rate_limit_error"),
        (errors.BudgetExhausted("m"), 429, "billing_error"),
        (errors.UpstreamRefused("m"), 400, "invalid_request_error"),
        (errors.UpstreamRefused("m", kind="not_found", upstream_status=404), 404, "not_found_error"),
        (errors.UpstreamAuth("m"), 502, "api_error"),
        (errors.UpstreamRateLimited("m"), 429, "rate_limit_error"),
        (errors.UpstreamOverloaded("m"), 529, "overloaded_error"),
        (errors.UpstreamFailed("m"), 502, "api_error"),
        (errors.UpstreamTimeout("m"), 504, "timeout_error"),
        (errors.UpstreamBroken("m"), 502, "api_error"),
        (errors.NoDeployment("m"), 529, "overloaded_error"),
        (errors.NoPrice("m"), 529, "overloaded_error"),
        (errors.Unavailable("m"), 529, "overloaded_error"),
        (errors.InternalError("m"), 500, "api_error"),
    ],
)
def test_every_error_has_its_type_and_status(error, status, type_):
    told_status, body, _ = written(error)
    assert told_status == status
    assert body == {"type": "error", "error": {"type": type_, "message": "m"}, "request_id": "req_1"}


def test_a_spent_budget_is_not_to_be_tried_again():
    _, _, headers = written(errors.BudgetExhausted("spent", retry_after=61.2))
    assert headers == {"x-should-retry": "false", "retry-after": "62"}


def test_our_own_bad_credential_does_not_look_like_the_callers():
    status, body, headers = written(read(401, envelope("authentication_error", "invalid x-api-key sk-ant-secret1")))
    assert (status, body["error"]["type"], headers["x-should-retry"]) == (502, "api_error", "false")
    assert "sk-ant" not in json.dumps(body)


def test_an_errors_own_headers_go_out():
    _, _, headers = written(errors.MethodNotAllowed("m", headers=(("allow", "POST"),)))
    assert headers == {"allow": "POST"}


@pytest.mark.parametrize(
    ("status", "fault", "told"),
    [
        (400, errors.UpstreamRefused, 400),
        (401, errors.UpstreamAuth, 502),
        (402, errors.UpstreamAuth, 502),
        (403, errors.UpstreamAuth, 502),
        (404, errors.UpstreamRefused, 404),
        (408, errors.UpstreamTimeout, 504),
        (409, errors.UpstreamRefused, 409),
        (413, errors.UpstreamRefused, 413),
        (422, errors.UpstreamRefused, 422),
        (424, errors.UpstreamFailed, 502),
        (429, errors.UpstreamRateLimited, 429),
        (500, errors.UpstreamFailed, 502),
        (502, errors.UpstreamFailed, 502),
        (503, errors.UpstreamOverloaded, 529),
        (504, errors.UpstreamTimeout, 504),
        (529, errors.UpstreamOverloaded, 529),
        (204, errors.UpstreamFailed, 502),
        (302, errors.UpstreamFailed, 502),
    ],
)
def test_every_status_of_an_upstream_has_its_error(status, fault, told):
    error = read(status, envelope())
    assert type(error) is fault
    assert (error.status, error.upstream_status) == (told, status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after_ms": "1500", "retry_after": "30"}, 1.5),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "1e12"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers, seconds):
    assert read(429, envelope("rate_limit_error"), **headers).retry_after == seconds


def test_a_refusal_is_relayed_as_it_came_to_a_caller_of_the_dialect():
    body = (
        b'{ "type":"error", "error":{"type":"invalid_request_error","message":"role \'system\' is not supported"} }\n'
    )
    shape = CLIENT.write_error(read(400, body), request_id="req_ours")
    assert (shape.status, shape.body) == (400, body)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-AbCdEf123456",
        "sk-proj-abcdefgh1234",
        "gsk_abcdefgh1234",
        "ghp_a1B2a1B2a1B2a1B2",
        "hf_abcdefghijkl",
        "weir_0123456789ab_abcdefghijkl",
        "AIzaSyA1234567890abcdefg",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer abcdef123456",
        "x-api-key: abcdef123456",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_a_relayed_refusal_loses_what_looks_like_a_credential(secret):
    value = secret.split(" ")[-1]
    for around in ("'", "\n", '"'):
        error = read(400, envelope(message=f"bad key {around}{secret}{around} given"))
        assert value not in error.message
        assert value.encode() not in error.body
        assert json.loads(error.body)["error"]["message"].endswith(f"{around} given")


def test_ordinary_words_are_no_credentials():
    body = json.dumps(
        envelope(message="task-id: ask-me-later; the skill risk-assessment failed at max_tokens")
    ).encode()
    assert read(400, body).body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Request</html>",
        b"[]",
        b'"x"',
        b"\xff",
        b"{",
        b'{"error":null}',
        b'{"error":{"message":5}}',
        b"[" * 99_999,
    ],
)
def test_an_odd_body_still_makes_an_error_and_is_not_quoted(body):
    error = read(400, body)
    assert isinstance(error, errors.UpstreamRefused)
    assert error.message == "the provider answered with status 400"


@pytest.mark.parametrize(
    "body",
    [
        {"error": "plain text"},
        {"message": "plain text"},
        {"detail": "plain text"},
        {"error": {"message": "plain text"}},
    ],
)
def test_the_envelopes_of_lesser_vendors_are_read(body):
    assert read(400, body).message == "plain text"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("prompt is too long: 3333404 tokens > 200000 maximum", "prompt is too long: 3333404 tokens > 200000 maximum"),
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens.",
            "prompt is too long: 130500 tokens > 128000 maximum",
        ),
        (
            "prompt token count of 130500 exceeds the limit of 128000",
            "prompt is too long: 130500 tokens > 128000 maximum",
        ),
        (
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "prompt is too long (capability_rejected: prompt_too_long)",
        ),
        ("Input is too long for requested model.", "prompt is too long (capability_rejected: prompt_too_long)"),
        (
            "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            "prompt is too long (capability_rejected: prompt_too_long)",
        ),
        (
            "prompt too long; exceeded max context length by 5 tokens",
            "prompt is too long (capability_rejected: prompt_too_long)",
        ),
        (
            f"maximum context length is {'9' * 5000}, you requested {'9' * 5001}",
            "prompt is too long (capability_rejected: prompt_too_long)",
        ),
    ],
)
def test_an_overlong_prompt_is_told_in_the_words_that_make_claude_code_compact(told, said):
    error = read(400, envelope(message=told))
    assert error.code == "context_length_exceeded"
    error.body = None  # as on the way from another dialect
    status, body, _ = written(error)
    assert status == 400
    assert body["error"] == {"type": "invalid_request_error", "message": said}


def test_our_own_overflow_is_told_likewise():
    status, body, _ = written(errors.ContextOverflow("too much"))
    assert status == 400
    assert body["error"]["message"].startswith("prompt is too long")


def test_an_ordinary_refusal_is_no_overflow():
    for message in ("max_tokens: must be at least 1", "context_management: Extra inputs are not permitted"):
        assert read(400, envelope(message=message)).code is None


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        (errors.UpstreamOverloaded("m"), "overloaded_error"),
        (errors.UpstreamRateLimited("m"), "overloaded_error"),
        (errors.UpstreamTimeout("m"), "timeout_error"),
        (errors.UpstreamBroken("m"), "api_error"),
        (errors.BudgetExhausted("m"), "billing_error"),
        (errors.InternalError("m"), "api_error"),
    ],
)
def test_inside_a_stream_an_error_is_its_last_frame(error, type_):
    ((name, data),) = grammar.events(CLIENT.stream_error(error, request_id="req_1"))
    assert name == "error"
    assert json.loads(data) == {"type": "error", "error": {"type": type_, "message": "m"}, "request_id": "req_1"}
