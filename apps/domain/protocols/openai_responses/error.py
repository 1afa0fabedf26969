"""Errors. Whole ones look as in OpenAI's other dialect; inside a stream they are a response that failed."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.domain import errors, sse
from apps.domain.protocols import refusal
from apps.domain.protocols.openai_chat import error as chat_error
from apps.domain.protocols.openai_chat.error import read_error, write_error

__all__ = ["failed", "read_error", "read_stream_error", "stream_error", "write_error"]

# The codes that Codex tells apart; anything else it tries again.
_CODES = {"rate_limit": "rate_limit_exceeded", "billing": "insufficient_quota", "invalid_request": "invalid_prompt"}
# What OpenAI fails a response for that the caller can cure.
_CALLERS = ("invalid_", "image_", "unsupported_image", "empty_image", "failed_to_download", "bio_policy", "_policy_")


def failed(error: errors.GatewayError) -> dict[str, Any]:
    """The `error` of a response. Codex reads from the message how long to wait."""
    message = error.message
    code = error.code if error.code == refusal.OVERFLOW else _CODES.get(error.kind, "server_error")
    if code == "rate_limit_exceeded" and error.retry_after is not None:
        message = f"{message.rstrip('.')}. Please try again in {error.retry_after:g}s."
    return {"code": code, "message": message}


def stream_error(
    error: errors.GatewayError, *, request_id: str, response_id: str | None = None, number: int = 0
) -> bytes:
    """The last event of a stream, of whose answer no more is known than its id. `number` is the event's."""
    response = {
        "id": response_id or f"resp_{request_id}",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": failed(error),
        "incomplete_details": None,
        "model": "",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    data = {"type": "response.failed", "sequence_number": number, "response": response}
    return sse.frame("response.failed", msgspec.json.encode(data))


def read_stream_error(raw: Any) -> errors.UpstreamError:
    """For the `error` of a failed response and of an `error` event, which come under status 200."""
    code = raw.get("code") if isinstance(raw, dict) else None
    if isinstance(code, str) and any(word in code for word in _CALLERS):
        raw = raw | {"type": "invalid_request_error"}
    return chat_error.read_stream_error(raw)
