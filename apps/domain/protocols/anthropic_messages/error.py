"""Errors: ours in Anthropic's envelope, an Anthropic-type upstream's in our tree (PROTOCOLS A11)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from apps.domain import errors, sse
from apps.domain.protocols import refusal
from apps.domain.protocols.contract import ErrorShape

_TYPES = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "billing": "billing_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
}
_KINDS = {type_: kind for kind, type_ in _TYPES.items()}
# Inside a stream the status is 200, so the type must say what it would have been.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OVERLOADED = 529
# Claude Code compacts the conversation on these words, and on no gateway's own (PROTOCOLS A11, B1).
_TOO_LONG = "prompt is too long"
_TOO_LONG_TOKEN = "capability_rejected: prompt_too_long"  # noqa: S105
_NUMBER = r"\D{0,3}(\d{3,12})(?!\d)"
_MAXIMUM = re.compile(r"(?:maximum context length is|limit (?:of|is)|maximum(?: of)?|window of)" + _NUMBER, re.I)
_ASKED = re.compile(
    r"(?:resulted in|requested(?: about)?|prompt token count of|contains?|length of|got)" + _NUMBER, re.I
)


def write_error(error: errors.GatewayError, *, request_id: str, trace_id: str = "") -> ErrorShape:
    """A refusal by an upstream of this dialect is relayed as it came. `trace_id` stands beside the request's id."""
    relayed = error.body if isinstance(error, errors.UpstreamError) else None
    if relayed is not None:
        return ErrorShape(error.status, relayed, _headers(error))
    status = _OVERLOADED if error.kind == "overloaded" else error.status
    if error.code == refusal.OVERFLOW:
        status = 400
    return ErrorShape(status, _envelope(error, request_id=request_id, trace_id=trace_id), _headers(error))


def stream_error(error: errors.GatewayError, *, request_id: str) -> bytes:
    """The last frame of a stream that failed: nothing may follow it, and no `message_stop` went before."""
    return sse.frame("error", _envelope(error, request_id=request_id, streaming=True))


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
    return refusal.classify(status, headers, body, told=_told(refusal.decoded(body)))


def read_stream_error(raw: Any) -> errors.UpstreamError:
    """For the data of an `error` event. The class is kept."""
    told = _told(raw)
    type_ = _type(raw)
    error = refusal.classify(_STATUSES.get(type_, 500), {}, b"", told=told)
    error.body = None
    return error


def _envelope(error: errors.GatewayError, *, request_id: str, trace_id: str = "", streaming: bool = False) -> bytes:
    kind = error.kind
    message = error.message
    if error.code == refusal.OVERFLOW:
        kind, message = "invalid_request", _too_long(message)
    elif streaming and kind == "rate_limit":
        kind = "overloaded"
    inner = {"type": _TYPES.get(kind, "api_error"), "message": message}
    ids = {"request_id": request_id, "trace_id": trace_id} if trace_id else {"request_id": request_id}
    return msgspec.json.encode({"type": "error", "error": inner, **ids})


def _headers(error: errors.GatewayError) -> tuple[tuple[str, str], ...]:
    headers = list(error.headers)
    if error.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(error.retry_after))))
    if error.should_retry is not None:
        headers.append(("x-should-retry", "true" if error.should_retry else "false"))
    return tuple(headers)


def _too_long(message: str) -> str:
    """Another provider's overflow in the words that Claude Code knows."""
    if message.startswith(_TOO_LONG):
        return message
    maximum, asked = _MAXIMUM.search(message), _ASKED.search(message)
    if maximum and asked and int(asked.group(1)) > int(maximum.group(1)):
        return f"{_TOO_LONG}: {asked.group(1)} tokens > {maximum.group(1)} maximum"
    return f"{_TOO_LONG} ({_TOO_LONG_TOKEN})"


def _told(raw: Any) -> refusal.Told:
    """Reads Anthropic's envelope, and the bare ones of lesser vendors."""
    if not isinstance(raw, dict):
        return refusal.Told()
    error = raw.get("error", raw)
    if not isinstance(error, dict):
        return refusal.Told(message=error if isinstance(error, str) else "")
    message = next((error[name] for name in ("message", "detail") if isinstance(error.get(name), str)), "")
    code = error.get("code")
    return refusal.Told(message=message, kind=_KINDS.get(_type(raw)), code=code if isinstance(code, str) else None)


def _type(raw: Any) -> str:
    error = raw.get("error") if isinstance(raw, dict) else None
    type_ = error.get("type") if isinstance(error, dict) else None
    return type_ if isinstance(type_, str) else ""
