"""The first deployment that answers, up to its first event. Until then another may be tried; after it, none."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors
from apps.domain.protocols import exchange as exchanges
from apps.domain.protocols import registry
from apps.domain.protocols.contract import Exchange, Target
from apps.domain.providers import registry as providers
from apps.domain.providers import speech
from apps.domain.routing import plan
from apps.gateway.known import Known

if TYPE_CHECKING:
    from apps.domain.protocols.contract import ClientCall
    from apps.domain.providers.vendor import Vendor
    from apps.domain.snapshot import Deployment, Model
    from apps.gateway.attempt import Accounts, Attempt
    from apps.gateway.context import RequestContext
    from apps.outbound.client import Answer, Outbound

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
_JSON = ("content-type", "application/json")
_ANY = ("accept", "application/json")


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
    try:
        for candidate in _plan(ctx):
            for fresh in (False, True):  # a second time only if the kept-alive connection had been closed
                attempt = await accounts.open(ctx, candidate)
                try:
                    return await _answer(ctx, attempt, outbound, fresh=fresh)
                except errors.UpstreamError as error:
                    await attempt.abandon(error)
                    if not error.retryable or ctx.gone:  # nobody is left to try another for
                        raise
                    failure = error
                    if not isinstance(error, errors.ConnectionStale):
                        break
        assert failure is not None
        raise failure
    finally:
        del failure  # its traceback holds this frame


class _Way(NamedTuple):
    """What all calls of one model to one deployment have in common. Holds no secret."""

    vendor: Vendor
    url: str
    target: Target
    accept: tuple[str, str]  # of streams


_usable: Known[tuple[int, int, str], list[plan.Usable]] = Known()  # by model, tenant and the caller's protocol
_ways: Known[tuple[int, int, str, bool], _Way] = Known()  # by model, deployment, caller's protocol, streaming


def _plan(ctx: RequestContext) -> list[plan.Try]:
    model, principal, call = ctx.model, ctx.principal, ctx.call
    assert model is not None
    assert principal is not None
    assert call is not None
    known = _usable.under(ctx.snapshot)
    key = (model.id, principal.tenant_id, call.protocol)
    usable = known.get(key)
    if usable is None:
        found = plan.usable(model, tenant_id=principal.tenant_id)
        usable = known[key] = [way for way in found if speech.protocol_of(way[0], client=call.protocol)]
    candidates = plan.tries(usable, now=int(ctx.started_at), dice=random.random, priced_only=bool(ctx.budgets))
    if not candidates:
        raise errors.NoDeployment(f"no deployment can serve {model.name} right now", retry_after=5)
    return candidates


def _way(ctx: RequestContext, deployment: Deployment) -> _Way:
    model, call = ctx.model, ctx.call
    assert model is not None
    assert call is not None
    known = _ways.under(ctx.snapshot)
    key = (model.id, deployment.id, call.protocol, call.stream)
    way = known.get(key)
    if way is None:
        way = known[key] = _find_way(model, deployment, call)
    return way


def _find_way(model: Model, deployment: Deployment, call: ClientCall) -> _Way:
    provider = deployment.provider
    vendor, protocol = providers.vendor(provider.vendor), speech.protocol_of(deployment, client=call.protocol)
    assert protocol is not None
    target = Target(
        protocol=protocol,
        model=deployment.upstream_model,
        max_output_tokens=model.max_output_tokens,
        capabilities=model.capabilities,
        quirks=vendor.quirks if provider.quirks is None else provider.quirks,
    )
    url = vendor.url(provider.base_url, protocol, model=target.model, stream=call.stream, options=provider.options)
    return _Way(vendor, url, target, ("accept", registry.UPSTREAMS[protocol].accept))


async def _answer(ctx: RequestContext, attempt: Attempt, outbound: Outbound, *, fresh: bool) -> Answered:
    """One try."""
    answered = await _ask(ctx, attempt, outbound, fresh=fresh)
    if attempt.passage is not None:
        await attempt.passage.open()
    return answered


async def _ask(ctx: RequestContext, attempt: Attempt, outbound: Outbound, *, fresh: bool) -> Answered:
    """The intent is in the journal before the upstream sees a byte; writing it overlaps with translation."""
    assert ctx.call is not None
    way = _way(ctx, attempt.deployment)
    exchange = attempt.exchange = exchanges.open(
        ctx.call,
        way.target,
        request_id=ctx.public_request_id,
        created=int(ctx.started_at),
        cut=attempt.credential.secret.cut_from,
    )
    attempt.protocol = way.target.protocol
    headers = _headers(ctx, attempt, way)
    await attempt.intend()
    timeouts = attempt.deployment.provider.timeouts
    answer = attempt.answer = await outbound.open(
        "POST", way.url, headers=headers, body=exchange.body, timeouts=timeouts, fresh=fresh
    )
    attempt.answered(answer)
    if answer.status != 200:
        raise exchange.refuse(answer.status, answer.headers, await answer.read(MAX_ERROR_BYTES))
    if not ctx.call.stream:
        return Answered(attempt, answer, exchange, body=exchange.answer(await answer.read(MAX_ANSWER_BYTES)))
    return Answered(attempt, answer, exchange, first=await _first_event(attempt, answer, exchange))


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


def _headers(ctx: RequestContext, attempt: Attempt, way: _Way) -> list[tuple[str, str]]:
    """Made anew, never copied: what the provider needs, the caller's open list of vendor headers, our trace."""
    provider = attempt.deployment.provider
    vendor = way.vendor
    headers = vendor.headers(attempt.credential.secret.reveal_for(provider.host), client=ctx.headers)
    headers += (_JSON, way.accept if ctx.call and ctx.call.stream else _ANY, *provider.headers)
    if vendor.trace_header is not None:
        headers.append((vendor.trace_header, f"{ctx.request_id}/{attempt.number}"))
    return headers
