"""One client call, from key to ledger. Read this file first.

The rooms do not know one another; their order lives here and nowhere else.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import structlog

from apps.domain import errors
from apps.gateway import (
    admit,
    answers,
    aside,
    authenticate,
    cache,
    count,
    departure,
    dispatch,
    examine,
    guard,
    relay,
    settle,
    tracing,
)

if TYPE_CHECKING:
    from apps.gateway.context import RequestContext
    from apps.gateway.engine import Engine
    from apps.gateway.semantic import Vector

log = structlog.get_logger(__name__)


async def serve(ctx: RequestContext, engine: Engine) -> None:
    """Answers one completion. Whatever happens, it is settled exactly once and the caller is told in its dialect."""
    watch, underway = departure.Watch(ctx, engine.ticker), engine.configuration.underway
    failure: errors.GatewayError | None = None
    trace = tracing.begin(ctx)
    try:
        trace.enter("authenticate")
        await authenticate.authenticate(ctx, engine.configuration)  # who asks      -> ctx.principal
        underway.enter(ctx)
        trace.enter("examine")
        await examine.examine(ctx, max_bytes=engine.max_body_bytes)  # what is in it -> ctx.call, ctx.model
        watch.arm()
        trace.enter("admit")
        await admit.admit(ctx, engine.limiter)  # may they      -> ctx.decision, ctx.budgets
        findings = engine.configuration.findings
        trace.enter("guard")
        await guard.guard(ctx, findings, engine.names)  # may it go     -> ctx.policy; without what is masked
        if ctx.wire.operation == "count":
            trace.enter("count")
            await count.count(ctx, engine.outbound)  # of the prompt's tokens; no more is asked
        elif not await _is_kept(ctx, engine, trace):  # has it been answered before
            trace.enter("dispatch")
            answered = await dispatch.dispatch(ctx, engine.outbound, engine.accounts)  # first event in hand
            trace.enter("relay")
            await relay.relay(ctx, answered, engine.ticker)  # upstream bytes -> client bytes
    except errors.GatewayError as error:
        failure = error
    except asyncio.CancelledError:
        failure = departure.explain(ctx)
    except Exception as error:
        log.exception("gateway.failed", request_id=ctx.public_request_id)
        failure = errors.InternalError("internal error")
        failure.__cause__ = error
    finally:
        watch.disarm()
        underway.leave(ctx)
        trace.enter("settle")
        try:
            await settle.settle(ctx, failure, engine.limiter)  # true usage     -> price, limits, journal
        finally:
            cache.close(ctx, failure, engine.shelf, engine.semantic, engine.accounts)  # what may be given again
    trace.enter("")
    try:
        if failure is not None:
            await answers.fail(ctx, failure)
    finally:
        trace.close(ctx, failure)
        ctx.forget()
        del failure  # its traceback holds this frame


async def _is_kept(ctx: RequestContext, engine: Engine, trace: tracing.Untold) -> bool:
    trace.enter("cache")
    return await cache.answer(ctx, engine.shelf, engine.semantic, functools.partial(_embed, ctx, engine))


async def _embed(ctx: RequestContext, engine: Engine, model: str, words: str) -> Vector:
    """By a call of its own, through the same rooms."""
    return await aside.vector(ctx, model=model, words=words, serve=functools.partial(serve, engine=engine))
