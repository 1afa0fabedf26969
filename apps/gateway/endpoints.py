"""ASGI in, ASGI out: each endpoint names its dialect and hands the call to the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings

from apps.domain import errors
from apps.domain.protocols import registry
from apps.gateway import answers, authenticate, catalogue, configuration, engine, managed, metrics, pipeline, tracing
from apps.gateway import explain as explaining
from apps.gateway.context import PINNED, WRITTEN, RequestContext
from apps.runtime.state import state

if TYPE_CHECKING:
    from apps.domain.snapshot import Snapshot
    from apps.gateway.context import Receive, Scope, Send

log = structlog.get_logger(__name__)

Endpoint = Callable[..., Awaitable[None]]

MOST_TELEMETRY = 16 * 1024 * 1024
_AGENTS = "anthropic_messages"


def _completion(endpoint: str) -> Endpoint:
    wire = registry.ENDPOINTS[endpoint]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        running = engine.current or await started(scope, receive, send, dialect=wire.name)
        if running is None:
            return
        state.in_flight += 1
        try:
            known = running.configuration.snapshot
            ctx = RequestContext(scope, receive, send, wire=wire, endpoint=endpoint, snapshot=known)
            await pipeline.serve(ctx, running)
        finally:
            state.in_flight -= 1

    return answer


# Anthropic Messages: `POST /v1/messages`, `POST /anthropic/v1/messages`.
messages = _completion("messages")
# `POST /v1/messages/count_tokens`, likewise.
count_tokens = _completion("count_tokens")
# OpenAI Chat Completions: `POST /v1/chat/completions`.
chat_completions = _completion("chat_completions")
# OpenAI's legacy completions: `POST /v1/completions`.
completions = _completion("completions")
# OpenAI's embeddings: `POST /v1/embeddings`.
embeddings = _completion("embeddings")
# Weir's own: `POST /chat`.
chat = _completion("chat")
# OpenAI Responses: `POST /v1/responses`.
responses = _completion("responses")


async def models(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /v1/models` and `GET /v1/models/<id>`: one answer that both dialects' clients read."""
    dialect = _dialect(scope)
    running = await started(scope, receive, send, dialect=dialect)
    if running is None:
        return
    ctx = _context(scope, receive, send, dialect=dialect, endpoint="models")
    try:
        await authenticate.authenticate(ctx, running.configuration)
        await answers.json(ctx, catalogue.render(ctx))
    except errors.GatewayError as error:
        await answers.fail(ctx, error)


async def explain(scope: Scope, receive: Receive, send: Send) -> None:
    """`POST /v1/explain`: what would become of a call, and why. Nothing is sent, booked or taken."""
    running = await started(scope, receive, send)
    if running is None:
        return
    ctx, failure = _context(scope, receive, send, dialect=_dialect(scope), endpoint="explain"), None
    trace = tracing.begin(ctx)
    try:
        await answers.json(ctx, await explaining.answer(ctx, running))
    except errors.GatewayError as error:
        failure = error
        await answers.fail(ctx, error)
    finally:
        trace.close(ctx, failure)
        del failure  # its traceback holds this frame


async def managed_settings(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /managed/settings`: what a coding agent's person is to keep to; 404 where nothing has been settled."""
    running = await started(scope, receive, send, dialect=_AGENTS)
    if running is None:
        return
    ctx = _context(scope, receive, send, dialect=_AGENTS, endpoint="managed_settings")
    try:
        await authenticate.identify(ctx, running.configuration)
        assert ctx.principal is not None
        settled = await running.configuration.managed_settings(ctx.principal)
        if settled is None:
            raise errors.NotFound("there are no managed settings for this user")
        tag, body = managed.rendered(settled)
        is_known = tag.encode() in ctx.headers.get(b"if-none-match", b"")
        headers = [(b"etag", f'"{tag}"'.encode()), (b"cache-control", b"private, no-cache")]
        await answers.json(ctx, b"" if is_known else body, status=304 if is_known else 200, headers=headers)
    except errors.GatewayError as error:
        await answers.fail(ctx, error)


async def telemetry(scope: Scope, receive: Receive, send: Send) -> None:
    """OTLP over HTTP: `POST /v1/metrics`, `/v1/logs`, `/v1/traces`. Read to its end, counted and not kept: an exporter
    that is refused tells its person so every few seconds."""
    running = await started(scope, receive, send, dialect=_AGENTS)
    if running is None:
        return
    ctx = _context(scope, receive, send, dialect=_AGENTS, endpoint="telemetry")
    try:
        await authenticate.identify(ctx, running.configuration)
        size = await managed.swallowed(ctx, most=MOST_TELEMETRY)
        metrics.exported(str(scope["path"]).rstrip("/").rpartition("/")[2], size)
        # Both encodings of an empty Export…ServiceResponse: all was taken.
        await answers.json(ctx, b"{}" if b"json" in ctx.headers.get(b"content-type", b"") else b"")
    except errors.GatewayError as error:
        await answers.fail(ctx, error)


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    """200 and nothing, whoever asks."""
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def wrong_method(scope: Scope, receive: Receive, send: Send, *, allowed: tuple[str, ...]) -> None:
    error = errors.MethodNotAllowed(
        f"{scope['method']} is not allowed here; use {' or '.join(allowed)}", headers=(("allow", ", ".join(allowed)),)
    )
    await answers.fail(_context(scope, receive, send, dialect=_dialect(scope), endpoint=""), error)


async def unknown_path(scope: Scope, receive: Receive, send: Send, *, meant: str | None = None) -> None:
    """`meant` is the path that the caller's SDK would ask for under the right base URL."""
    dialect = _dialect({**scope, "path": meant or scope["path"]})
    written = str(scope.get(WRITTEN, scope["path"]))
    message = f"unknown path: {scope['method']} {written[:200]}"
    if meant is not None:
        base_url = _base_url(scope) + ("" if dialect == "anthropic_messages" else "/v1")
        message += f"; did you mean {scope.get('root_path', '')}{meant}? Set the client's base URL to {base_url}"
    await answers.fail(_context(scope, receive, send, dialect=dialect, endpoint=""), errors.NotFound(message))


async def not_here(scope: Scope, receive: Receive, send: Send) -> None:
    """In a process that serves pages and no calls: a balancer, or the caller's base URL, leads to the wrong one."""
    message = (
        f"this process serves pages and no calls: send them to a gateway, at {settings.WEIR_BASE_URL}; where that is "
        f"this address, its balancer must send {scope['path'][:200]} there"
    )
    error = errors.NotFound(message, code="not_a_gateway")
    await answers.fail(_context(scope, receive, send, dialect=_dialect(scope), endpoint=""), error)


async def unknown_endpoint(scope: Scope, receive: Receive, send: Send) -> None:
    """Under `/e/` without a name that is one, or at a port or host name that has been an endpoint's."""
    name = scope.get("root_path", "").rpartition("/")[2]
    error = errors.NotFound(f"there is no endpoint {name[:60]}" if name else "there is no endpoint here")
    await answers.fail(_context(scope, receive, send, dialect=_dialect(scope), endpoint=""), error)


async def preflight(scope: Scope, receive: Receive, send: Send) -> None:
    ctx = _context(scope, receive, send, dialect=_dialect(scope), endpoint="")
    await answers.preflight(scope, send, origins=ctx.cors_origins)


def _base_url(scope: Scope) -> str:
    """Where this call's caller reaches the installation: a pinned host name or port is known by what it has asked."""
    if PINNED not in scope or scope.get("root_path"):
        return str(settings.WEIR_BASE_URL) + str(scope.get("root_path", ""))
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}"


async def started(scope: Scope, receive: Receive, send: Send, *, dialect: str = "") -> engine.Engine | None:
    """The engine, started on the first call where the server sends no lifespan (Daphne). None: it cannot start, and
    the caller has been told so in its dialect."""
    try:
        return await engine.running()
    except Exception:
        log.exception("gateway.start_failed")
    error = errors.Unavailable("the gateway cannot start", retry_after=5)
    await answers.fail(_context(scope, receive, send, dialect=dialect or _dialect(scope), endpoint=""), error)
    return None


def _context(scope: Scope, receive: Receive, send: Send, *, dialect: str, endpoint: str) -> RequestContext:
    wire = registry.CLIENTS[dialect]
    return RequestContext(scope, receive, send, wire=wire, endpoint=endpoint, snapshot=snapshot())


def snapshot() -> Snapshot:
    """The present one; an empty one before the engine has started."""
    return engine.current.configuration.snapshot if engine.current is not None else configuration.EMPTY


def _dialect(scope: dict[str, Any]) -> str:
    """The dialect of a path that both speak: told by the path, else by Anthropic's own headers."""
    path = scope["path"]
    if path.startswith(("/anthropic/", "/v1/messages")) or path.rstrip("/").endswith("/messages"):
        return "anthropic_messages"
    if path.rstrip("/").endswith(("/completions", "/embeddings", "/chat")):
        return "openai_chat"
    if path.rstrip("/").endswith("/explain"):
        return "prompt"
    if path.rstrip("/").endswith("/responses"):
        return "openai_responses"
    names = {name for name, _ in scope["headers"]}
    return "anthropic_messages" if names & {b"x-api-key", b"anthropic-version"} else "openai_chat"
