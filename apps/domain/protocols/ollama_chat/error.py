"""An Ollama server's errors: `{"error": "text"}`, with a status, or as a line of a stream under 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.domain import errors
from apps.domain.protocols import refusal

# What an error under status 200 is worth as a status. First match wins.
_STATUSES = (
    (("rate limit", "too many requests", "usage limit"), 429),
    (("overloaded", "server busy", "unavailable", "maximum pending requests"), 503),
    (("timeout", "timed out", "deadline exceeded"), 504),
    (("not found",), 404),
    (("does not support", "invalid"), 400),
)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
    raw = refusal.decoded(body)
    error = refusal.classify(status, headers, body, told=_told(raw.get("error") if isinstance(raw, dict) else None))
    error.body = None  # no caller speaks this dialect
    return error


def read_stream_error(raw: Any) -> errors.UpstreamError:
    """For the `error` of a line. The class is kept, so that throttling stays it."""
    told = _told(raw)
    words = told.message.lower()
    status = next((status for known, status in _STATUSES if any(word in words for word in known)), 500)
    error = refusal.classify(400 if refusal.overflows(told) else status, {}, b"", told=told)
    error.body = None
    return error


def _told(raw: Any) -> refusal.Told:
    """Proxies before it write objects."""
    if isinstance(raw, dict):
        raw = raw.get("message")
    return refusal.Told(message=raw if isinstance(raw, str) else "")
