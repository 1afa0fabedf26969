"""What is told of a call to the journal, whoever answered it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.domain import errors
from apps.usage.records import WORD_LENGTH, Cached, Intent, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.gateway.context import RequestContext
    from apps.gateway.kept import Answer


SESSION = b"x-claude-code-session-id"
# Session, agent and the agent that started it, in Claude Code's words; without a session the others say nothing.
SAID_OF_ITSELF = (SESSION, b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id")
_UNTYPED = bytes({*range(256)} - {*range(0x21, 0x7F)})


def intent(ctx: RequestContext, *, attempt: int, **where: Any) -> Intent:
    """Who asks for what; `where` is the rest of the record."""
    principal, model, call, client = ctx.principal, ctx.model, ctx.call, ctx.scope.get("client")
    assert principal is not None
    assert model is not None
    assert call is not None
    session, agent, parent_agent = _said(ctx.headers) if SESSION in ctx.headers else ("", "", "")
    return Intent(
        request_id=ctx.request_id,
        attempt=attempt,
        started_at=ctx.started_at,
        tenant_id=principal.tenant_id,
        project_id=principal.project_id,
        user_id=principal.user_id,
        key_id=principal.key_id,
        model_id=model.id,
        model_name=model.name,
        client_protocol=call.protocol,
        endpoint=ctx.endpoint,
        pinned_id=ctx.pinned.id if ctx.pinned is not None else None,
        stream=call.stream,
        trace_id=ctx.trace_id,
        client_address=client[0] if client else "",
        user_agent=ctx.headers.get(b"user-agent", b"")[:200].decode("latin-1"),
        session=session,
        agent=agent,
        parent_agent=parent_agent,
        **where,
    )


def _said(headers: Mapping[bytes, bytes]) -> tuple[str, str, str]:
    """Words by which calls are added up: what could not be typed is left out of them."""
    words = (headers.get(name, b"").translate(None, _UNTYPED)[:WORD_LENGTH].decode("ascii") for name in SAID_OF_ITSELF)
    session, agent, parent_agent = words
    return session, agent, parent_agent


def hit(
    ctx: RequestContext,
    answer: Answer,
    failure: errors.GatewayError | None,
    *,
    found: Cached,
    latency: float,
    step: str,
) -> Outcome:
    """A call that was given what another one had paid for: it used nothing. `latency` in seconds; `step`: for the
    trail."""
    origin = answer.origin
    asked = intent(
        ctx,
        attempt=1,
        provider_id=origin.provider_id,
        deployment_id=origin.deployment_id,
        upstream_model=origin.upstream_model,
        upstream_protocol=origin.upstream_protocol,
        card=origin.card,
    )
    return Outcome(
        intent=asked,
        status=status(failure, gone=ctx.gone),
        error_code=failure.code or failure.kind if failure is not None else "",
        stop_reason=origin.stop_reason,
        latency_ms=round(latency * 1000),
        cached=found,
        saved=origin.cost,
        saved_tokens=origin.usage.total,
        trail=(*ctx.notes, step),
    )


def status(failure: errors.GatewayError | None, *, gone: bool) -> Status:
    if gone or isinstance(failure, errors.ClientGone):
        return "client_gone"
    if failure is None:
        return "ok"
    if isinstance(failure, errors.UpstreamTimeout):
        return "timeout"
    if isinstance(failure, errors.UpstreamBroken):
        return "upstream_broken"
    if isinstance(failure, errors.UpstreamError):
        return "upstream_error"
    return "client_error" if isinstance(failure, errors.ClientError) else "gateway_error"
