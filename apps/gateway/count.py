"""How many tokens a prompt has: the provider's own word, or none. It costs nothing, so nothing is booked."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from apps.domain import errors
from apps.domain.protocols import refusal, registry
from apps.domain.protocols.anthropic_messages import counting
from apps.gateway import answers, fetch, ways
from apps.gateway.cooling import cooling, heed
from apps.outbound import signing

if TYPE_CHECKING:
    from apps.domain.protocols.contract import Counter
    from apps.domain.routing.plan import Try
    from apps.gateway.context import RequestContext
    from apps.outbound.client import Outbound

_MAX_ANSWER_BYTES = 1024 * 1024
# Of those who speak a vendor's dialect, not all can count.
_UNKNOWN = frozenset({404, 405, 501})


async def count(ctx: RequestContext, outbound: Outbound) -> None:
    """Answers with the first deployment's count. Raises Unsupported where none can, else the last UpstreamError."""
    failure: errors.GatewayError = errors.Unsupported(
        f"no provider of {ctx.model.name if ctx.model else 'this model'} can count tokens"
    )
    resting: list[Try] = []
    try:
        for number, candidate in enumerate(ways.candidates(ctx), start=1):
            way, apart = _counting(ways.way_to(ctx, candidate.deployment)), _apart(candidate)
            if way is None:
                continue
            if cooling and not cooling.admits(apart, is_last_resort=isinstance(failure, errors.UpstreamError)):
                resting.append(apart)
                continue
            asked_at = time.monotonic()
            try:
                tokens = await _ask(ctx, outbound, candidate, way, number=number)
            except errors.UpstreamError as error:
                _tell(ctx, candidate, way, number, asked_at=asked_at, failure=error)
                if error.upstream_status in _UNKNOWN:
                    continue
                cooling.refused(apart, error, asked_at=asked_at)
                if not error.retryable:
                    raise
                failure = error
            else:
                _tell(ctx, candidate, way, number, asked_at=asked_at)
                if cooling:
                    cooling.succeeded(apart, asked_at=asked_at)
                await answers.json(ctx, counting.write(tokens))
                return
        if resting and not isinstance(failure, errors.UpstreamError):
            failure = cooling.refusal(resting)
        raise failure
    finally:
        del failure  # its traceback holds this frame


def _counting(way: ways.Way) -> ways.Way | None:
    """The way in that protocol of the vendor's that can count; None: it has none."""
    for protocol in (way.target.protocol, *sorted(way.vendor.beside)):
        if protocol in registry.COUNTERS and protocol in way.vendor.count_paths:
            return way._replace(target=msgspec.structs.replace(way.target, protocol=protocol))
    return None


def _apart(candidate: Try) -> Try:
    """What it is set aside as: providers limit and permit counting by itself, but a refused key is refused for all."""
    deployment = candidate.deployment
    named = f"{deployment.upstream_model} (counting)"
    return candidate._replace(deployment=msgspec.structs.replace(deployment, upstream_model=named))


def _tell(
    ctx: RequestContext,
    candidate: Try,
    way: ways.Way,
    number: int,
    *,
    asked_at: float,
    failure: errors.UpstreamError | None = None,
) -> None:
    if ctx.trace is not None:
        ctx.trace.counted(candidate.deployment, number, way.target.protocol, started=asked_at, failure=failure)


async def _ask(ctx: RequestContext, outbound: Outbound, candidate: Try, way: ways.Way, *, number: int) -> int:
    try:
        return await _ask_once(ctx, outbound, candidate, way, number=number)
    except errors.ConnectionStale:
        return await _ask_once(ctx, outbound, candidate, way, number=number, fresh=True)


async def _ask_once(
    ctx: RequestContext, outbound: Outbound, candidate: Try, way: ways.Way, *, number: int, fresh: bool = False
) -> int:
    assert ctx.call is not None
    provider, protocol = candidate.deployment.provider, way.target.protocol
    counter: Counter = registry.COUNTERS[protocol]
    url = way.vendor.count_url(provider.base_url, protocol, model=way.target.model, options=provider.options)
    assert url is not None
    if ctx.enclosed is not None:  # nothing fetched is masked here: who counts what is fetched is sent the very bytes
        ctx.enclosed.admit(candidate.deployment)
    try:
        body = counter.write(ctx.call, way.target)
    except errors.Unfetched as lacking:
        target = await fetch.fetched(ctx, way.target, lacking, deployment=candidate.deployment)
        body = counter.write(ctx.call, target)
    headers = ways.headers(ctx, candidate, way, number=number)
    if way.vendor.signer:
        headers = await ways.signed(headers, candidate, way, url=url, body=body)
    timeouts = candidate.deployment.timeouts or provider.timeouts
    answer = await outbound.open("POST", url, headers=headers, body=body, timeouts=timeouts, fresh=fresh)
    try:
        told = await answer.read(_MAX_ANSWER_BYTES)
    finally:
        await answer.close()
    if answer.status == 200:
        return counter.read(told)
    error = refusal.cleaned(
        registry.UPSTREAMS[protocol].read_error(answer.status, answer.headers, told),
        partial(signing.cut_from, candidate.credential.secret),
    )
    if protocol != ctx.call.protocol:
        error.body = None
    heed(error, answer.headers)
    raise error
