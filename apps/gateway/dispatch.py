"""The first deployment that answers, up to its first event. Until then another may be tried; after it, none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from apps.domain import errors
from apps.domain.protocols import exchange as exchanges
from apps.domain.protocols.contract import Exchange
from apps.gateway import fetch, ways
from apps.gateway.context import NOTHING_FETCHED
from apps.gateway.cooling import cooling, heed
from apps.gateway.signatures import signatures
from apps.outbound import signing

if TYPE_CHECKING:
    from apps.domain.protocols.contract import Target
    from apps.domain.routing.plan import Try
    from apps.gateway.attempt import Accounts, Attempt
    from apps.gateway.context import RequestContext
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
    """Raises BudgetExhausted, NoDeployment, Unavailable, and the last UpstreamError when none answers."""
    failure: errors.UpstreamError | None = None
    assert ctx.call is not None
    ctx.signed = signatures.of(ctx.call.body)
    candidates = ways.candidates(ctx)
    try:
        for candidate in candidates:
            if cooling and not cooling.admits(candidate, is_last_resort=failure is not None):
                continue
            for fresh in (False, True):  # a second time only if the kept-alive connection had been closed
                attempt = await accounts.open(ctx, candidate)
                _explain(ctx, attempt, candidates, fresh=fresh)
                try:
                    answered = await _ask(ctx, candidate, attempt, outbound, fresh=fresh)
                    if attempt.passage is not None:
                        await attempt.passage.open()
                except errors.UpstreamError as error:
                    _learn(candidate, attempt, error)
                    await attempt.abandon(error)
                    if not error.retryable or ctx.gone:  # nobody is left to try another for
                        raise
                    failure = error
                    if not isinstance(error, errors.ConnectionStale):
                        break
                else:
                    if cooling:
                        cooling.succeeded(candidate, asked_at=attempt.started)
                    ctx.fetched = NOTHING_FETCHED  # nobody else is asked: files need not wait for the answer's end
                    return answered
        if failure is None:
            failure = cooling.refusal(candidates)
        raise failure
    finally:
        del failure  # its traceback holds this frame


def _explain(ctx: RequestContext, attempt: Attempt, candidates: list[Try], *, fresh: bool) -> None:
    """Why it is this try's turn, where that is not plain."""
    if fresh:
        attempt.note("connection stale: asked again")
    if cooling and attempt.number == 1:
        for step in cooling.resting(candidates):
            attempt.note(step)
    if ctx.signed is not None:
        for step in ctx.signed.notes(attempt.deployment.provider, is_first=attempt.number == 1):
            attempt.note(step)


def _learn(candidate: Try, attempt: Attempt, error: errors.UpstreamError) -> None:
    """What a failure says of the credential."""
    if attempt.answer is not None:
        heed(error, attempt.answer.headers)
    if step := cooling.refused(candidate, error, asked_at=attempt.started):
        attempt.note(step)


async def _ask(ctx: RequestContext, candidate: Try, attempt: Attempt, outbound: Outbound, *, fresh: bool) -> Answered:
    """One try. The intent is in the journal before the upstream sees a byte; writing it overlaps with translation."""
    assert ctx.call is not None
    way = ways.way_to(ctx, attempt.deployment)
    provider = attempt.deployment.provider
    target = way.target
    if ctx.signed is not None and (foreign := ctx.signed.foreign_to(provider)):
        target = msgspec.structs.replace(target, foreign=foreign)
    try:
        exchange = _open(ctx, target, attempt)
    except errors.Unfetched as lacking:
        weighed = ctx.prompt_bytes
        target = await fetch.fetched(ctx, target, lacking)
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
        "POST", way.url, headers=headers, body=exchange.body, timeouts=provider.timeouts, fresh=fresh
    )
    attempt.answered(answer)
    if answer.status != 200:
        raise exchange.refuse(answer.status, answer.headers, await answer.read(MAX_ERROR_BYTES))
    if not ctx.call.stream:
        return Answered(
            attempt, answer, exchange, body=exchange.answer(await answer.read(MAX_ANSWER_BYTES), answer.headers)
        )
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
