"""By whom a caller may be answered at all. What a model's fallbacks are confined to holds for who is answered by them:
tenants, networks, and the models of a key's list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import policies
from apps.domain.routing import reasons
from apps.gateway import networks, policy

if TYPE_CHECKING:
    from apps.domain import errors
    from apps.domain.snapshot import Model, StandIn
    from apps.gateway.context import RequestContext

    Barred = tuple[tuple[str, str], ...]

NOT_HERE, NOT_LISTED = "not from this address", "not in the key's list of models"


def listed(model: Model | StandIn, names: frozenset[str] | None) -> bool:
    """Whether a key's list holds a model: any of the names that callers may use stands for it. `names` None: all."""
    return names is None or model.name in names or not model.aliases.isdisjoint(names)


def barred(ctx: RequestContext, model: Model) -> Barred:
    """The fallbacks that may not answer this caller, by name, and why. A virtual model is what it comes to: who may use
    it may be answered by all of them, as far as their networks go."""
    if not model.stand_ins:
        return ()
    principal = ctx.principal
    assert principal is not None
    names = None if model.is_virtual else principal.models
    found = []
    for one in model.stand_ins:
        if not listed(one, names):
            found.append((one.name, NOT_LISTED))
        elif one.networks is not None and not networks.hold(ctx.scope.get("client"), one.networks):
            found.append((one.name, NOT_HERE))
    return tuple(found)


def refusal(ctx: RequestContext, model: Model) -> errors.PermissionDenied | None:
    """What this caller is told whatever it asks, as nobody may answer it; None: somebody may, or nobody is there."""
    principal, out = ctx.principal, dict(barred(ctx, model))
    assert principal is not None
    theirs = [
        one
        for one in model.deployments
        if one.model_name not in out and (one.tenant_ids is None or principal.tenant_id in one.tenant_ids)
    ]
    if not theirs:
        return reasons.closed(model.name) if model.deployments else None
    merged = policy.of(ctx)
    if merged is None:
        return None
    held = merged.policy
    if all(policies.hindrance(held, tags=one.provider.tags, region=one.provider.region) for one in theirs):
        return reasons.forbidden(model.name, by=held)
    return None
