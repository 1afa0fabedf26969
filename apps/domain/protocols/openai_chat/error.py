"""Errors: ours in OpenAI's envelope, an OpenAI-type upstream's in our tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from apps.domain import errors, floats
from apps.domain.protocols import refusal
from apps.domain.protocols.contract import ErrorShape

DONE = b"data: [DONE]\n\n"
_TYPES = {
    "invalid_request": "invalid_request_error",
    "authentication": "invalid_request_error",
    "permission": "permission_error",
    "not_found": "invalid_request_error",
    "too_large": "invalid_request_error",
    "billing": "insufficient_quota",
}
_CODES = {"overloaded": "overloaded", "timeout": "timeout", "too_large": "request_too_large"}
_KINDS = {"invalid_request_error": "invalid_request", "permission_error": "permission"}
_KINDS_BY_CODE = {"model_not_found": "not_found", "request_too_large": "too_large"}
# What an error inside a stream is worth as a status. First match wins; the words are those of codes and types.
_STATUSES = (
    (("insufficient_quota", "rate_limit", "rate limit", "too_many_requests", "throttl"), 429),
    (("overloaded", "unavailable", "capacity"), 503),
    (("timeout", "timed out"), 504),
    (("context_length", "invalid_request", "content_filter", "content_policy"), 400),
)
_TOO_MANY = 429
_LLAMA_OVERFLOW = "exceed_context_size_error"
_NO_SUCH_STATUS = {529: 503}  # OpenAI clients have never heard of 529
_CREDIT = "the provider's account has no credit left"


def write_error(error: errors.GatewayError, *, request_id: str, trace_id: str = "") -> ErrorShape:
    """A refusal by an upstream of this dialect is relayed as it came, status and all.

    The envelope has no place for `request_id`: it travels in `x-request-id`, as it does with every answer. `trace_id`
    stands beside the `error`, of which SDKs make the whole of what they raise.
    """
    headers = list(error.headers)
    if error.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after))))
    if error.should_retry is not None:
        headers.append(("x-should-retry", "true" if error.should_retry else "false"))
    if isinstance(error, errors.UpstreamError) and error.body is not None:
        return ErrorShape(error.status, error.body, tuple(headers))
    status = 400 if error.code == refusal.OVERFLOW else _NO_SUCH_STATUS.get(error.status, error.status)
    told = _envelope(error) | ({"trace_id": trace_id} if trace_id else {})
    return ErrorShape(status, msgspec.json.encode(told), tuple(headers))


def stream_error(error: errors.GatewayError, *, request_id: str) -> bytes:
    """The last frames of a stream that failed: SDKs raise on the first, and stop at the second."""
    return b"data: " + msgspec.json.encode(_envelope(error)) + b"\n\n" + DONE


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
    told = _told(refusal.decoded(body))
    if status == _TOO_MANY and told.code == "insufficient_quota":
        return errors.UpstreamAuth(_CREDIT, upstream_status=status)
    return refusal.classify(status, headers, body, told=told)


def read_stream_error(raw: Any) -> errors.UpstreamError:
    """For the `error` of a chunk, which comes under status 200. The class is kept, so that throttling stays it."""
    told = _told({"error": raw})
    status = _status_of(raw, told)
    if status == _TOO_MANY and told.code == "insufficient_quota":
        return errors.UpstreamAuth(_CREDIT, upstream_status=status)
    error = refusal.classify(status, {}, b"", told=told)
    error.body = None
    return error


def within(chunk: Any, data: bytes, *, name: str) -> Any:
    """What went wrong by a stream's event of this `name`, of which `data` was read as `chunk`; nothing, as a rule.

    OpenAI's says it in `error`; others name the event so, or the object (vLLM), and then it is the whole.
    """
    return chunk.error or (floats.decode(data) if "error" in (name, chunk.object) else None)


def _envelope(error: errors.GatewayError) -> dict[str, Any]:
    kind = error.kind
    if kind == "rate_limit":  # OpenAI's types say what there was too much of
        name = "tokens" if "token" in error.message.lower() else "requests"
    else:
        name = _TYPES.get(kind, "server_error")
    code = error.code or _CODES.get(kind)
    return {"error": {"message": _message(error), "type": name, "param": error.param, "code": code}}


def _message(error: errors.GatewayError) -> str:
    name = error.message.removeprefix("model: ")
    if isinstance(error, errors.ModelNotFound) and name != error.message:
        return f"The model `{name}` does not exist or you do not have access to it."
    return error.message


def _told(raw: Any) -> refusal.Told:
    """Reads `{"error": {…}}`, `{"error": "text"}`, and the bare envelopes of lesser vendors."""
    if isinstance(raw, list) and raw:  # Google's OpenAI layer wraps it
        raw = raw[0]
    if not isinstance(raw, dict):
        return refusal.Told()
    error = raw.get("error", raw)
    if not isinstance(error, dict):
        return refusal.Told(message=error if isinstance(error, str) else "")
    message = _text(error, "message") or _text(error, "detail")
    code, kind, param = _text(error, "code"), _text(error, "type"), _text(error, "param")
    if kind == _LLAMA_OVERFLOW:
        code = refusal.OVERFLOW
    known = _KINDS_BY_CODE.get(code or "") or _KINDS.get(kind or "")
    return refusal.Told(message=message or "", kind=known, code=code, param=param)


def _text(raw: dict[str, Any], name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) and value else None


def _status_of(raw: Any, told: refusal.Told) -> int:
    """A number where the vendor gives one (OpenRouter does), else by the words of code and type."""
    for name in ("code", "status", "status_code"):
        value = raw.get(name) if isinstance(raw, dict) else None
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    kind = raw.get("type") if isinstance(raw, dict) else None
    words = f"{told.code} {kind}".lower()
    for known, status in _STATUSES:
        if any(word in words for word in known):
            return status
    return 400 if refusal.overflows(told) else 500
