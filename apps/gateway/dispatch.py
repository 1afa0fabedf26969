"""The first deployment that answers, up to its first event. Until then another may be tried; after it, none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from apps.domain import errors
from apps.domain.protocols import exchange as exchanges
from apps.domain.protocols.contract import Exchange
from apps.gateway import fetch, hedge, ways
from apps.gateway.context import NOTHING_FETCHED
from apps.gateway.signatures import signatures
from apps.gateway.tries import Tries
from apps.outbound import signing

if TYPE_CHECKING:
    from apps.domain.protocols.contract import Target
    from apps.domain.routing.plan import Try
    from apps.gateway.attempt import Accounts, Attempt
    from apps.gateway.context import RequestContext
    from apps.gateway.tries import Leave
    from apps.outbound.client import Answer, Outbound

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024


class Answered(NamedTuple):
    """An upstream that has begun to answer: a whole `body`, or a stream of which `first` is out already."""

    attempt: Attempt
    answer: Answer
    exchange: Exchange
    body: bytes | None = None
    first: bytes = b""


async def dispatch(ctx: RequestContext, outbound: Outbound, accounts: Accounts) -> Answered:
    """Waits where everybody who could serve it is full or rests. Raises BudgetExhausted, NoDeployment, Unavailable, and
    the last UpstreamError when none answers."""
    assert ctx.call is not None
    ctx.signed = signatures.of(ctx.call.body)
    tries = Tries(ctx, ways.candidates(ctx, expected=accounts.outputs.expected))
    try:
        while (leave := await tries.next()) is not None:
            seconds = leave.candidate.deployment.hedge_after
            if seconds is None or ctx.call.stream:
                answered = await _serve(ctx, tries, outbound, accounts, leave)
            else:
                serve = partial(_serve, ctx, tries, outbound, accounts)
                answered = await hedge.race(ctx, tries, leave, seconds=seconds, accounts=accounts, serve=serve)
            if answered is not None:
                ways.answered(ctx, answered.attempt.deployment)
                ctx.fetched = NOTHING_FETCHED  # nobody else is asked: files need not wait for the answer's end
                return answered
        raise tries.refusal()
    finally:
        tries.end()


async def _serve(
    ctx: RequestContext,
    tries: Tries,
    outbound: Outbound,
    accounts: Accounts,
    leave: Leave,
    opened: Attempt | None = None,
) -> Answered | None:
    """One candidate, to its first event; it may have been `opened`. None: it failed, and another may be asked. Raises
    UpstreamError where none may be. The leave goes with the answer, and is given back without one."""
    try:
        for fresh in (False, True):  # a second time only if the kept-alive connection had been closed
            attempt = opened or await accounts.open(ctx, leave.candidate)
            opened = None
            attempt.queued = leave.place.waited
            _explain(ctx, attempt, tries, fresh=fresh)
            try:
                answered = await _ask(ctx, leave.candidate, attempt, outbound, fresh=fresh)
                if attempt.passage is not None:
                    await attempt.passage.open()
            except errors.UpstreamError as error:
                if isinstance(error, errors.ConnectionStale) and not fresh and tries.may_repeat:
                    await attempt.abandon(error)
                    continue
                tries.failed(leave, attempt, error)
                await attempt.abandon(error)
                if not error.retryable or ctx.gone:  # nobody is left to try another for
                    raise
                return None
            tries.answered(leave, attempt)
            return answered
        return None
    finally:
        leave.give_back()


def _explain(ctx: RequestContext, attempt: Attempt, tries: Tries, *, fresh: bool) -> None:
    """Why it is this try's turn, where that is not plain."""
    if fresh:
        attempt.note("connection stale: asked again")
    if attempt.number == 1:
        for step in ctx.notes:
            attempt.note(step)
    tries.explain(attempt)
    if ctx.signed is not None:
        for step in ctx.signed.notes(attempt.deployment.provider, is_first=attempt.number == 1):
            attempt.note(step)


async def _ask(ctx: RequestContext, candidate: Try, attempt: Attempt, outbound: Outbound, *, fresh: bool) -> Answered:
    """One try. The intent is in the journal before the upstream sees a byte; writing it overlaps with translation."""
    assert ctx.call is not None
    way = ways.way_to(ctx, attempt.deployment)
    provider = attempt.deployment.provider
    target = way.target
    if ctx.signed is not None and (foreign := ctx.signed.foreign_to(provider)):
        target = msgspec.structs.replace(target, foreign=foreign)
    if ctx.enclosed is not None:
        ctx.enclosed.admit(attempt.deployment)
    try:
        exchange = _open(ctx, target, attempt)
        if ctx.enclosed is not None:
            ctx.enclosed.fetches_itself()
    except errors.Unfetched as lacking:
        weighed = ctx.prompt_bytes
        target = await fetch.fetched(ctx, target, lacking, deployment=attempt.deployment, attempt=attempt)
        if ctx.prompt_bytes > weighed:
            await attempt.reserve_anew()
        exchange = _open(ctx, target, attempt)
        attempt.note(f"fetched: {len(lacking.urls)} by URL")
    exchange.seen.on_signed = partial(signatures.remember, way.family)
    attempt.protocol = way.target.protocol
    headers = ways.headers(ctx, candidate, way, number=attempt.number)
    if exchange.headers:
        headers += exchange.headers
    if way.vendor.signer:
        headers = await ways.signed(headers, candidate, way, url=way.url, body=exchange.body)
    await attempt.intend()
    answer = attempt.answer = await outbound.open(
        "POST",
        way.url,
        headers=headers,
        body=exchange.body,
        timeouts=attempt.deployment.timeouts or provider.timeouts,
        fresh=fresh,
    )
    attempt.answered(answer)
    if answer.status != 200:
        raise exchange.refuse(answer.status, answer.headers, await answer.read(MAX_ERROR_BYTES))
    if not ctx.call.stream:
        body = exchange.answer(await answer.read(MAX_ANSWER_BYTES), answer.headers)
        if ctx.inspector is not None:
            await ctx.inspector.check(body, attempt=attempt)
        return Answered(attempt, answer, exchange, body=body)
    return Answered(attempt, answer, exchange, first=await _first_event(attempt, answer, exchange))


def _open(ctx: RequestContext, target: Target, attempt: Attempt) -> Exchange:
    assert ctx.call is not None
    attempt.exchange = exchange = exchanges.open(
        ctx.call,
        target,
        request_id=ctx.public_request_id,
        created=int(ctx.started_at),
        cut=partial(signing.cut_from, attempt.credential.secret),
    )
    if ctx.inspector is not None:
        attempt.exchange = exchange = ctx.inspector.watching(exchange, attempt=attempt)
    return exchange


async def _first_event(attempt: Attempt, answer: Answer, exchange: Exchange) -> bytes:
    """Client bytes up to and with the first whole event: from here on the status is 200."""
    held = []
    while chunk := await answer.chunk():
        held.append(exchange.feed(chunk))
        if exchange.seen.error is not None:
            raise exchange.seen.error
        if exchange.seen.started:
            attempt.began()
            return b"".join(held)
    exchange.close()
    raise exchange.seen.error or errors.UpstreamBroken("the provider closed the stream before its first event")
