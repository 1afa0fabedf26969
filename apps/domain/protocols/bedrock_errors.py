"""What Bedrock says instead of an answer: as a status with a body, or as a message in a stream (PROTOCOLS A11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.domain import errors, eventstream
from apps.domain.protocols import refusal

# Statuses of the service model, and of AWS's front door, which says some names with another status, and without their
# last word. By lower-case name without that word.
_STATUSES = {
    "validation": 400,
    "accessdenied": 403,
    "expiredtoken": 403,
    "incompletesignature": 403,
    "invalidclienttokenid": 403,
    "invalidsignature": 403,
    "missingauthenticationtoken": 403,
    "unrecognizedclient": 403,
    "resourcenotfound": 404,
    "modeltimeout": 408,
    "requesttimeout": 408,
    "modelerror": 424,
    "modelstreamerror": 424,
    "modelnotready": 429,
    "servicequotaexceeded": 429,  # its own status is 400, but the request is not at fault
    "throttling": 429,
    "toomanyrequests": 429,
    "internalfailure": 500,
    "internalserver": 500,
    "serviceunavailable": 503,
}
_UNKNOWN_MODEL = "model identifier is invalid"
# A model's own failure may say what it was.
_PASSING = frozenset({429, 503, 504, 529})


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
    """For an answer that is not 200. `headers` are read by lower-case names."""
    told = _decoded(body)
    name = headers.get("x-amzn-errortype") or _text(told.get("__type")) or _text(told.get("code"))
    meant = _STATUSES.get(_plain(name), status)
    return _error(meant, headers, body, message=_message(told), upstream_status=status)


def read_exception(message: eventstream.Message) -> errors.UpstreamError:
    """For a message in a stream that is no event. The class is kept."""
    told = _decoded(message.payload)
    status = _STATUSES.get(_plain(message.name), 500)
    original = told.get("originalStatusCode")
    if status == 424 and original in _PASSING:
        status = original
    said = _message(told) or _text(told.get("originalMessage")) or message.header(":error-message")
    return _error(status, {}, b"", message=said or message.name, upstream_status=200)


def _error(
    status: int, headers: Mapping[str, str], body: bytes, *, message: str, upstream_status: int
) -> errors.UpstreamError:
    is_unknown = status in (400, 404) and _UNKNOWN_MODEL in message
    kind, code = ("not_found", "model_not_found") if is_unknown or status == 404 else (None, None)
    error = refusal.classify(status, headers, body, told=refusal.Told(message=message, kind=kind, code=code))
    error.upstream_status = upstream_status
    if is_unknown:
        error.status = 404
    return error


def _plain(name: str) -> str:
    """`ValidationException:http://…` and `com.amazon.coral.validate#ValidationException`."""
    return name.partition(":")[0].rpartition("#")[2].strip().lower().removesuffix("exception")


def _message(told: dict[str, Any]) -> str:
    return _text(told.get("message")) or _text(told.get("Message"))


def _text(raw: Any) -> str:
    return raw if isinstance(raw, str) else ""


def _decoded(body: bytes) -> dict[str, Any]:
    raw = refusal.decoded(body)
    return raw if isinstance(raw, dict) else {}
