"""What an upstream's non-200 answer means, whichever dialect it is written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from apps.domain import credentials, errors, floats
from apps.domain.protocols.contract import Cut

OVERFLOW = "context_length_exceeded"
_KINDS = {400: "invalid_request", 402: "billing", 404: "not_found", 413: "too_large", 422: "invalid_request"}
_OVERFLOW_WORDS = re.compile(
    r"prompt is too long|prompt too long|input is too long|prompt_too_long|input tokens exceeded|too many input tokens"
    r"|maximum context length|max context length|context_length_exceeded|context_window_exceeded"
    r"|(?:exceed(?:s|ed)?|longer than) (?:the |its |this )?(?:model(?:'s)? )?(?:maximum |available )?"
    r"(?:context|model length|token limit)|prompt token count of \d+ exceeds|input token count \(\d+\) exceeds"
    r"|context window exceeds|maximum prompt length|prompt exceeds max|context length of only"
    r"|reduce the length of the (?:messages|prompt|input)|`inputs` (?:tokens \+|must have less than)"
    r"|exceed_context_size|context (?:size|length|window) (?:has been |was )?exceeded|context length is only"
    r"|prompt \((?:total length )?\d+(?: tokens)?\) is too long|too long to fit into the model"
    r"|greater than (?:the )?(?:context length|max_seq_len)"
    r"|exceeds? (?:the )?max(?:imum input length|_seq_len|_num_tokens)",
    re.IGNORECASE,
)
# Vendors' keys, ours, and what follows a header's name.
_CREDENTIAL = re.compile(
    credentials.SHAPE.encode() + rb"|weir_[0-9A-Za-z*._-]{6,}"
    rb"|(?i:(?<=bearer )[^\s\"'\\,]{6,}|(?<=x-api-key: )[^\s\"'\\,]{6,}|(?<=api key provided: )[^\s\"'\\,]{6,})"
)
_CUT = b"[removed]"
_DEPENDENCY = 424
_OTHERS = frozenset({401, 402, 403, 408, 429, 503, 504, 529})  # say what they are
_Error = TypeVar("_Error", bound=errors.GatewayError)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider's body says, read by its dialect. `kind` in the words of `domain.errors`."""

    message: str = ""
    kind: str | None = None
    code: str | None = None
    param: str | None = None


def classify(status: int, headers: Mapping[str, str], body: bytes, *, told: Told) -> errors.UpstreamError:
    """The error for an answer with this status. `headers` are read by lower-case names.

    A refusal (4xx that is the request's fault) carries the body; one for an overlong prompt has the code
    `context_length_exceeded`, whatever the provider called it, and is none of the provider's own failures. All in the
    provider's words: see `cleaned`.
    """
    message = told.message or f"the provider answered with status {status}"
    wait = retry_after(headers)
    if status not in _OTHERS and overflows(told):
        return _overflow(message, status=status, body=body, told=told)
    if status in (401, 402, 403):
        return errors.UpstreamAuth("the provider refused the gateway's credential", upstream_status=status)
    if status == 429:
        return errors.UpstreamRateLimited(message, upstream_status=status, body=relayable(body), retry_after=wait)
    if status in (503, 529):
        return errors.UpstreamOverloaded(message, upstream_status=status, retry_after=wait)
    if status in (408, 504):
        return errors.UpstreamTimeout(message, upstream_status=status)
    if not 400 <= status < 500 or status == 424:
        return errors.UpstreamFailed(message, upstream_status=status, retry_after=wait)
    return errors.UpstreamRefused(
        message,
        kind=told.kind or _KINDS.get(status, "invalid_request"),
        upstream_status=status,
        body=relayable(body),
        param=told.param,
        code=told.code,
    )


def _overflow(message: str, *, status: int, body: bytes, told: Told) -> errors.UpstreamRefused:
    """llama.cpp and others take it for a fault of their own: nobody who is told that would ask for less."""
    is_refusal = 400 <= status < 500 and status != _DEPENDENCY
    error = errors.UpstreamRefused(
        message,
        kind=told.kind or _KINDS.get(status, "invalid_request"),
        upstream_status=status,
        body=relayable(body) if is_refusal else None,
        param=told.param,
        code=OVERFLOW,
    )
    if not is_refusal:
        error.status = 400
    return error


def decoded(body: bytes) -> Any:
    """What a body says; None where it is no JSON."""
    try:
        return floats.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def overflows(told: Told) -> bool:
    """Whether a refusal says that the prompt does not fit the model's window."""
    return told.code == OVERFLOW or _OVERFLOW_WORDS.search(told.message) is not None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`. A date is ignored: there is no clock here."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < 86_400:
            return seconds
    return None


def relayable(body: bytes) -> bytes | None:
    """The body for a caller of the same dialect; None if it is no JSON object, or no text."""
    return body if isinstance(decoded(body), dict) else None


def cleaned(error: _Error, cut: Cut) -> _Error:
    """The same error, and in nothing that it says a credential."""
    error.message = _scrub_text(error.message, cut)
    error.args = (error.message,)
    error.param = error.param and _scrub_text(error.param, cut)
    error.code = error.code and _scrub_text(error.code, cut)
    if isinstance(error, errors.UpstreamError) and error.body is not None:
        error.body = scrub(error.body, cut)
    return error


def scrub(told: bytes, cut: Cut) -> bytes:
    """What a provider says, without the credential it was asked with and anything that looks like one."""
    return _CREDENTIAL.sub(_CUT, cut(told))


def _scrub_text(text: str, cut: Cut) -> str:
    return scrub(text.encode("utf-8", "replace"), cut).decode("utf-8", "replace")
