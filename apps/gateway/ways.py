"""The ways that a call may go: which deployments, in which order; where each is asked, and with which headers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors
from apps.domain.protocols import registry
from apps.domain.protocols.contract import Target
from apps.domain.providers import families, speech
from apps.domain.providers import registry as providers
from apps.domain.routing import plan
from apps.domain.routing.turns import Turns
from apps.gateway.cooling import cooling
from apps.gateway.known import Known
from apps.outbound import signing

if TYPE_CHECKING:
    from collections.abc import Callable

    from apps.domain.protocols.contract import ClientCall
    from apps.domain.providers.vendor import Vendor
    from apps.domain.snapshot import Deployment, Model
    from apps.gateway.context import RequestContext

_JSON = ("content-type", "application/json")
_ANY = ("accept", "application/json")


class Way(NamedTuple):
    """What all calls of one model to one deployment have in common. Holds no secret."""

    vendor: Vendor
    url: str
    target: Target
    accept: tuple[str, str]  # of streams
    family: str  # whose signatures its answers carry


_usable: Known[tuple[int, int, str], list[plan.Usable]] = Known()  # by model, tenant and the caller's protocol
_ways: Known[tuple[int, int, str, bool], Way] = Known()  # by model, deployment, caller's protocol, streaming

_turns = Turns()


def candidates(ctx: RequestContext) -> list[plan.Try]:
    """In the order to try them. Raises NoDeployment, and NoPrice where prices alone are missing."""
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
    candidates = plan.tries(
        usable,
        now=int(ctx.started_at),
        dice=random.random,
        turns=_turns,
        rests=cooling.seconds if cooling else None,
        prefers=_prefers(ctx),
        priced_only=bool(ctx.budgets) and ctx.wire.operation != "count",  # which costs nothing
    )
    if not candidates:
        raise _nobody(model, unpriced=bool(usable))
    return candidates


def _nobody(model: Model, *, unpriced: bool) -> errors.NoDeployment:
    if unpriced:  # whatever is usable is a candidate, but for its price
        return errors.NoPrice(
            f"{model.name} has no price, and a budget applies to this call: its deployment needs a price"
        )
    return errors.NoDeployment(f"no deployment can serve {model.name} right now", retry_after=5)


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
        max_output_tokens=model.max_output_tokens,
        context_tokens=model.context_tokens,
        capabilities=model.capabilities,
        quirks=vendor.quirks if provider.quirks is None else provider.quirks,
    )
    url = vendor.url(provider.base_url, protocol, model=target.model, stream=call.stream, options=provider.options)
    return Way(vendor, url, target, ("accept", registry.UPSTREAMS[protocol].accept), families.family(provider))


def headers(ctx: RequestContext, candidate: plan.Try, way: Way, *, number: int) -> list[tuple[str, str]]:
    """Made anew, never copied: what the provider needs, the caller's open list of vendor headers, our trace."""
    provider = candidate.deployment.provider
    vendor = way.vendor
    made = vendor.headers(candidate.credential.secret.reveal_for(provider.host), client=ctx.headers)
    made += (_JSON, way.accept if ctx.call and ctx.call.stream else _ANY, *provider.headers)
    if vendor.trace_header is not None:
        made.append((vendor.trace_header, f"{ctx.request_id}/{number}"))
    return made


async def signed(
    headers: list[tuple[str, str]], candidate: plan.Try, way: Way, *, url: str, body: bytes
) -> list[tuple[str, str]]:
    """The headers of a request to a vendor with a `signer`: it is signed whole, as far as the credential does that.
    Raises UpstreamAuth."""
    provider = candidate.deployment.provider
    secret = candidate.credential.secret.reveal_for(provider.host)
    return await signing.sign("POST", url, headers=headers, body=body, secret=secret, options=provider.options)
