"""ASGI in, ASGI out: each endpoint names its dialect and hands the call to the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from apps.domain import errors
from apps.domain.protocols import registry
from apps.gateway import answers, authenticate, catalogue, engine, pipeline
from apps.gateway.context import RequestContext
from apps.runtime.state import state

if TYPE_CHECKING:
    from apps.gateway.context import Receive, Scope, Send

Endpoint = Callable[..., Awaitable[None]]


async def messages(scope: Scope, receive: Receive, send: Send) -> None:
    """Anthropic Messages: `POST /v1/messages`, `POST /anthropic/v1/messages`."""
    await _completion(scope, receive, send, dialect="anthropic_messages", endpoint="messages")


async def chat_completions(scope: Scope, receive: Receive, send: Send) -> None:
    """OpenAI Chat Completions: `POST /v1/chat/completions`."""
    await _completion(scope, receive, send, dialect="openai_chat", endpoint="chat_completions")


async def models(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /v1/models` and `GET /v1/models/<id>`: one answer that both dialects' clients read."""
    ctx = await _context(scope, receive, send, dialect=_dialect(scope), endpoint="models")
    running = await engine.running()
    try:
        await authenticate.authenticate(ctx, running.configuration)
        await answers.json(ctx, catalogue.render(ctx))
    except errors.GatewayError as error:
        await answers.fail(ctx, error)


async def wrong_method(scope: Scope, receive: Receive, send: Send, *, allowed: tuple[str, ...]) -> None:
    error = errors.MethodNotAllowed(
        f"{scope['method']} is not allowed here; use {' or '.join(allowed)}", headers=(("allow", ", ".join(allowed)),)
    )
    await answers.fail(await _context(scope, receive, send, dialect=_dialect(scope), endpoint=""), error)


async def unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    error = errors.NotFound(f"unknown path: {scope['method']} {scope['path'][:200]}")
    await answers.fail(await _context(scope, receive, send, dialect=_dialect(scope), endpoint=""), error)


async def preflight(scope: Scope, receive: Receive, send: Send) -> None:
    running = await engine.running()
    await answers.preflight(scope, send, origins=running.configuration.snapshot.cors_origins)


async def _completion(scope: Scope, receive: Receive, send: Send, *, dialect: str, endpoint: str) -> None:
    running = engine.current or await engine.running()
    ctx = RequestContext(
        scope,
        receive,
        send,
        wire=registry.FORMATS[dialect],
        endpoint=endpoint,
        snapshot=running.configuration.snapshot,
    )
    state.in_flight += 1
    try:
        await pipeline.serve(ctx, running)
    finally:
        state.in_flight -= 1


async def _context(scope: Scope, receive: Receive, send: Send, *, dialect: str, endpoint: str) -> RequestContext:
    running = await engine.running()
    wire = registry.FORMATS[dialect]
    return RequestContext(scope, receive, send, wire=wire, endpoint=endpoint, snapshot=running.configuration.snapshot)


def _dialect(scope: dict[str, Any]) -> str:
    """The dialect of a path that both speak: told by the path, else by Anthropic's own headers."""
    if scope["path"].startswith(("/anthropic/", "/v1/messages")):
        return "anthropic_messages"
    names = {name for name, _ in scope["headers"]}
    return "anthropic_messages" if names & {b"x-api-key", b"anthropic-version"} else "openai_chat"
