"""Answers as ASGI messages: JSON, errors in the caller's dialect, limit headers, CORS."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from apps.domain.errors import ClientGone, GatewayError
from apps.gateway import refusals

if TYPE_CHECKING:
    from apps.domain.limits.decision import Decision
    from apps.gateway.context import RequestContext, Scope, Send

    HeaderList = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
# Proxies in between must neither hold a stream back nor change it.
UNBUFFERED = ((b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no"))
TRACE = b"x-trace-id"
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * 1024 * 1024
_EXPOSED = (
    b"request-id, x-request-id, x-trace-id, retry-after, x-should-retry, "
    b"x-weir-cache, x-weir-cache-kind, x-weir-cache-similarity, age"
)
_ALLOWED = (
    b"authorization, x-api-key, content-type, anthropic-version, anthropic-beta, "
    b"anthropic-dangerous-direct-browser-access, openai-organization, openai-project, x-stainless-arch, "
    b"x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version, "
    b"x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout, x-weir-cache, "
    b"traceparent, tracestate"
)


def headers_for(ctx: RequestContext) -> HeaderList:
    """What every answer to this call carries: its id in the dialect's header, its trace's, the limits' state, CORS."""
    headers: HeaderList = [
        (ctx.wire.request_id_header.encode(), ctx.public_request_id.encode()),
        (TRACE, ctx.trace_id.encode()),
    ]
    if ctx.decision is not None:
        headers += limit_headers(ctx.decision, dialect=ctx.wire.name, now=time.time())
    if ctx.look is not None:
        headers += ctx.look.headers
    if b"origin" in ctx.headers:
        headers += cors(ctx.headers[b"origin"], ctx.cors_origins)
    return headers


async def json(
    ctx: RequestContext,
    body: bytes,
    *,
    status: int = 200,
    headers: HeaderList | None = None,
    is_last: bool = True,
) -> None:
    """A whole answer in two messages; unless `is_last`, the server still waits for the end of it."""
    all_headers = [JSON, (b"content-length", b"%d" % len(body)), *(headers or ()), *headers_for(ctx)]
    ctx.status = status
    await ctx.send({"type": "http.response.start", "status": status, "headers": all_headers})
    await ctx.send({"type": "http.response.body", "body": body, "more_body": not is_last})


async def fail(ctx: RequestContext, error: GatewayError) -> None:
    """The error in the caller's dialect; once a stream has begun, as its last frame."""
    if ctx.gone or isinstance(error, ClientGone):
        return
    if ctx.committed:
        exchange = ctx.attempts[-1].exchange if ctx.attempts else None
        if exchange is not None:  # it knows the answer that it began
            frame = exchange.fail(error)
        else:
            frame = ctx.wire.stream_error(error, request_id=ctx.public_request_id)
        cut = b"\n\n" if ctx.midway else b""  # ends the event that was cut, so that the error's stands alone
        await ctx.send({"type": "http.response.body", "body": cut + frame})
        return
    shape = ctx.wire.write_error(error, request_id=ctx.public_request_id, trace_id=ctx.trace_id)
    refusals.note(ctx, error, status=shape.status)
    headers: HeaderList = [(name.encode(), value.encode()) for name, value in shape.headers]
    if shape.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body will not be read
    is_cut = shape.status == 413
    await json(ctx, shape.body, status=shape.status, headers=headers, is_last=not is_cut)
    if is_cut:
        await _linger(ctx)
        await ctx.send({"type": "http.response.body", "body": b""})


async def _linger(ctx: RequestContext) -> None:
    """Lets what is still on its way of a body come in, for a while. Who closes a connection on bytes that were not read
    resets it, and an answer that its peer has not read yet is lost with it (RFC 9112, 9.6)."""
    taken = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while taken < _LINGER_BYTES:
                message = await ctx.receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                taken += len(message["body"])


def limit_headers(decision: Decision, *, dialect: str, now: float) -> HeaderList:
    """The caller's own limits: the tightest of each kind. Resets are RFC 3339 (Anthropic) or durations (OpenAI)."""
    headers: HeaderList = []
    family = dialect if dialect in _RESETS else "openai_chat"
    names, reset_as = _LIMIT_HEADERS[family], _RESETS[family]
    for kind, allowance in enumerate((decision.requests, decision.tokens)):
        if allowance is None:
            continue
        limit, remaining, reset = names[kind]
        headers += (
            (limit, b"%d" % allowance.limit),
            (remaining, b"%d" % allowance.remaining),
            (reset, reset_as(allowance.reset, now)),
        )
    return headers


@lru_cache(maxsize=1024)
def _moment(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _anthropic_reset(seconds: float, now: float) -> bytes:
    return _moment(math.ceil(now + seconds))


def _openai_reset(seconds: float, now: float) -> bytes:
    return b"%dms" % round(seconds * 1000) if seconds < 1 else b"%.2fs" % seconds


_LIMIT_HEADERS = {
    "anthropic_messages": [
        (b"anthropic-ratelimit-%b-limit" % kind, b"anthropic-ratelimit-%b-remaining" % kind,
         b"anthropic-ratelimit-%b-reset" % kind)
        for kind in (b"requests", b"tokens")
    ],
    "openai_chat": [
        (b"x-ratelimit-limit-%b" % kind, b"x-ratelimit-remaining-%b" % kind, b"x-ratelimit-reset-%b" % kind)
        for kind in (b"requests", b"tokens")
    ],
}  # fmt: skip
_RESETS = {"anthropic_messages": _anthropic_reset, "openai_chat": _openai_reset}


async def preflight(scope: Scope, send: Send, *, origins: frozenset[str]) -> None:
    """The browser's question before a cross-origin call: 204, with permission only for a listed origin."""
    headers: HeaderList = [(b"content-length", b"0")]
    if granted := cors(dict(scope["headers"]).get(b"origin", b""), origins):
        headers += [
            *granted,
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", _ALLOWED),
            (b"access-control-max-age", b"600"),
        ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def cors(origin: bytes, origins: frozenset[str]) -> HeaderList:
    """The headers that let a page of this origin read the answer; none for an unlisted origin."""
    if origin.decode("latin-1") not in origins and "*" not in origins:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]
