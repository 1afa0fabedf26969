"""The ways that a call may go: which deployments, in which order; where each is asked, and with which headers."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from apps.domain.protocols import registry
from apps.domain.protocols.contract import Target
from apps.domain.providers import families, speech
from apps.domain.providers import registry as providers
from apps.domain.routing import conversation, dialogue, needs, reasons
from apps.domain.routing import plan as plans
from apps.domain.routing.options import options as options_of
from apps.domain.routing.turns import Turns
from apps.gateway import allowed, policy
from apps.gateway.conversations import conversations
from apps.gateway.known import Known
from apps.gateway.standing import standing
from apps.outbound import signing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.domain.protocols.contract import ClientCall
    from apps.domain.providers.vendor import Vendor
    from apps.domain.routing.facts import Facts
    from apps.domain.routing.options import Options
    from apps.domain.routing.plan import Try
    from apps.domain.snapshot import Deployment, Model
    from apps.gateway.allowed import Barred
    from apps.gateway.context import RequestContext

    Expected = Callable[[int, int], int | None]

_JSON = ("content-type", "application/json")
_ANY = ("accept", "application/json")


class Way(NamedTuple):
    """What all calls of one model to one deployment have in common. Holds no secret."""

    vendor: Vendor
    url: str
    target: Target
    accept: tuple[str, str]  # of streams
    family: str  # whose signatures its answers carry


# By model, tenant, the caller's protocol, whether something was masked, and who may not answer it.
_options: Known[tuple[int, int, str, bool, Barred], Options] = Known()
_ways: Known[tuple[int, int, str, bool], Way] = Known()  # by model, deployment, caller's protocol, streaming

_turns = Turns()


def candidates(ctx: RequestContext, *, expected: Expected | None = None) -> Sequence[Try]:
    """In the order to try them; sets `plan`, and notes its reasons. Raises what `reasons.refusal` says. `expected`:
    tokens of an answer, by experience with a model and a key."""
    plan = ctx.plan = planned(ctx, expected=expected)
    if not plan.tries:
        raise reasons.refusal(plan)
    if plan.skips or len(plan.options.ways) > 1:
        ctx.notes += reasons.steps(plan)
    return plan.tries


def planned(
    ctx: RequestContext,
    *,
    expected: Expected | None = None,
    is_whole: bool = False,
    facts: Facts | None = standing,
) -> plans.Plan:
    """Without any effect if it `is_whole`: then it is only looked at, and nobody has had a turn."""
    model, principal, call = ctx.model, ctx.principal, ctx.call
    assert model is not None
    assert principal is not None
    assert call is not None
    known = _options.under(ctx.snapshot)
    barred = allowed.barred(ctx, model) if model.stand_ins else ()
    key = (model.id, principal.tenant_id, call.protocol, ctx.is_masked, barred)
    options = known.get(key)
    if options is None:
        speaks = partial(_spoken, client=call.protocol, is_masked=ctx.is_masked)
        options = known[key] = options_of(
            model, tenant_id=principal.tenant_id, client=call.protocol, speaks=speaks, barred=dict(barred)
        )
    return plans.decide(
        options,
        now=int(ctx.started_at),
        dice=random.random,
        turns=Turns() if is_whole else _turns,
        facts=facts,
        wishes=_wishes(ctx, options, expected),
        is_whole=is_whole,
    )


def _spoken(deployment: Deployment, *, client: str, is_masked: bool) -> str | None:
    """What is masked goes to none who would get the caller's very bytes."""
    if is_masked and policy.relays(deployment, client=client):
        return None
    return speech.protocol_of(deployment, client=client)


def _wishes(ctx: RequestContext, options: Options, expected: Expected | None) -> plans.Wishes:
    """Only what can make a difference is found out."""
    model, principal, call = ctx.model, ctx.principal, ctx.call
    assert model is not None
    assert principal is not None
    assert call is not None
    priced_only = bool(ctx.budgets) and ctx.wire.operation != "count"  # which costs nothing
    if not options.is_choosy and len(options.ways) < 2 and ctx.policy is None:
        return _PRICED if priced_only else plans.NO_WISHES
    turns = dialogue.turns(call) if options.is_choosy else None
    stays = None
    if model.sticky and len(options.ways) > 1 and ctx.wire.operation == "generate":
        ctx.conversation = conversation.of(call, key_id=principal.caller, turns=turns)
        if ctx.conversation is not None:
            stays = conversations.place(model.id, ctx.conversation)
    return plans.Wishes(
        needs=needs.of(call, prompt_bytes=ctx.prompt_bytes, turns=turns) if options.is_choosy else None,
        policy=ctx.policy,
        prefers=_prefers(ctx),
        stays=stays,
        priced_only=priced_only,
        expected=expected(model.id, principal.caller) if expected is not None and options.weighs else None,
    )


_PRICED = plans.Wishes(priced_only=True)


def answered(ctx: RequestContext, deployment: Deployment) -> None:
    """Its conversation stays there, as far as it can."""
    if ctx.conversation is not None and ctx.model is not None:
        conversations.remember(ctx.model.id, ctx.conversation, deployment_id=deployment.id)


def _prefers(ctx: RequestContext) -> Callable[[Deployment], bool] | None:
    """Of a conversation that carries signed thinking: whoever signed it last, as others are sent none of it. Where
    nobody knows who did: whoever speaks its dialect, so that it is sent as it came."""
    signed, call = ctx.signed, ctx.call
    if signed is None or call is None:
        return None
    signer, dialect = signed.by, call.protocol
    if signer:
        return lambda deployment: families.family(deployment.provider) == signer
    return lambda deployment: speech.protocol_of(deployment, client=dialect) == dialect


def way_to(ctx: RequestContext, deployment: Deployment) -> Way:
    model, call = ctx.model, ctx.call
    assert model is not None
    assert call is not None
    known = _ways.under(ctx.snapshot)
    key = (model.id, deployment.id, call.protocol, call.stream)
    way = known.get(key)
    if way is None:
        way = known[key] = _find_way(model, deployment, call)
    return way


def _find_way(model: Model, deployment: Deployment, call: ClientCall) -> Way:
    provider = deployment.provider
    vendor, protocol = providers.vendor(provider.vendor), speech.protocol_of(deployment, client=call.protocol)
    assert protocol is not None
    target = Target(
        protocol=protocol,
        model=deployment.upstream_model,
        max_output_tokens=deployment.max_output_tokens or model.max_output_tokens,
        context_tokens=deployment.context_tokens or model.context_tokens,
        capabilities=model.capabilities if deployment.capabilities is None else deployment.capabilities,
        quirks=vendor.quirks if provider.quirks is None else provider.quirks,
    )
    url = vendor.url(provider.base_url, protocol, model=target.model, stream=call.stream, options=provider.options)
    return Way(vendor, url, target, ("accept", registry.UPSTREAMS[protocol].accept), families.family(provider))


def headers(ctx: RequestContext, candidate: Try, way: Way, *, number: int) -> list[tuple[str, str]]:
    """Made anew, never copied: what the provider needs, the caller's open list of vendor headers, our trace."""
    provider = candidate.deployment.provider
    vendor = way.vendor
    made = vendor.headers(candidate.credential.secret.reveal_for(provider.host), client=ctx.headers)
    made += (_JSON, way.accept if ctx.call and ctx.call.stream else _ANY, *provider.headers)
    if vendor.trace_header is not None:
        made.append((vendor.trace_header, f"{ctx.request_id}/{number}"))
    if ctx.trace is not None:
        made += ctx.trace.headers(provider.name, number)
    return made


async def signed(
    headers: list[tuple[str, str]], candidate: Try, way: Way, *, url: str, body: bytes
) -> list[tuple[str, str]]:
    """The headers of a request to a vendor with a `signer`: it is signed whole, as far as the credential does that.
    Raises UpstreamAuth."""
    provider = candidate.deployment.provider
    secret = candidate.credential.secret.reveal_for(provider.host)
    return await signing.sign("POST", url, headers=headers, body=body, secret=secret, options=provider.options)
