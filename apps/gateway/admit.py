"""May they: every limit that applies, all or nothing, in one step; and the budgets that the attempts will draw on.

A door: the only room that asks the limiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from apps.domain import errors, estimate
from apps.domain.snapshot import UNRESTRAINED
from apps.gateway.known import Known

if TYPE_CHECKING:
    from apps.domain.limits.decision import Decision, Kind
    from apps.domain.snapshot import Budget, Limit, Model, Outage, Principal, Rules, Snapshot
    from apps.gateway.context import RequestContext
    from apps.quotas.counters import Limiter

_SAID: dict[Kind, str] = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "concurrency": "concurrent requests",
}


async def admit(ctx: RequestContext, limiter: Limiter) -> None:
    """Sets `decision` and `budgets`. Raises RateLimited; Unavailable where limits cannot be counted and the tenant then
    wants no calls."""
    limits, ctx.budgets, on_outage = restraints(ctx)
    if not limits:
        return
    ctx.decision = await limiter.acquire(limits, tokens=tokens_of(ctx), on_outage=on_outage)
    if not ctx.decision.allowed:
        raise _refusal(ctx.decision, limits)


def tokens_of(ctx: RequestContext) -> int:
    """What the call takes from a minute's tokens. Whoever only counts them uses nothing up."""
    assert ctx.call is not None
    if ctx.wire.operation == "count":
        return 0
    return estimate.rate_tokens(ctx.prompt_bytes, max_tokens=ctx.call.max_tokens)


class Restraints(NamedTuple):
    """Nothing comes twice."""

    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]
    on_outage: Outage


_restrained: Known[tuple[int, int, int], tuple[Principal, Restraints]] = Known()  # by caller, model and endpoint


def restraints(ctx: RequestContext) -> Restraints:
    """All that applies to the call."""
    principal, model = ctx.principal, ctx.model
    assert principal is not None
    assert model is not None
    restrained = _restrained.under(ctx.snapshot)
    pinned_id = ctx.pinned.id if ctx.pinned is not None else 0
    known = restrained.get((principal.caller, model.id, pinned_id))
    if known is None or known[0] is not principal:
        rules = _rules(principal, model, ctx.snapshot, pinned_id=pinned_id)
        found = Restraints(
            tuple(dict.fromkeys(limit for rule in rules for limit in rule.limits)),
            tuple(dict.fromkeys(budget for rule in rules for budget in rule.budgets)),
            ctx.snapshot.on_outage.get(principal.tenant_id, "lease"),
        )
        known = restrained[principal.caller, model.id, pinned_id] = (principal, found)
    return known[1] if ctx.on_behalf_of is None else _beside(known[1], restraints(ctx.on_behalf_of))


def _beside(own: Restraints, held: Restraints) -> Restraints:
    """Of a call for which another waits: where that one has a place, it needs none of its own."""
    places = {limit.key for limit in held.limits if limit.concurrency is not None}
    limits = (replace(limit, concurrency=None) if limit.key in places else limit for limit in own.limits)
    return own._replace(limits=tuple(limit for limit in limits if any(allowed(limit, kind) for kind in _SAID)))


def _rules(principal: Principal, model: Model, snapshot: Snapshot, *, pinned_id: int) -> list[Rules]:
    """What restrains such a call, from the widest subject to the narrowest, empty rules left out."""
    candidates = (
        snapshot.tenants.get(principal.tenant_id, UNRESTRAINED),  # whom nobody is, nothing restrains
        snapshot.projects.get(principal.project_id, UNRESTRAINED),
        snapshot.model_rules.get((model.id, None), UNRESTRAINED),
        snapshot.model_rules.get((model.id, principal.tenant_id), UNRESTRAINED),
        snapshot.endpoint_rules.get(pinned_id, UNRESTRAINED),
        principal.user_rules,
        principal.key_rules,
    )
    return [rules for rules in candidates if rules is not UNRESTRAINED]


def _refusal(decision: Decision, limits: tuple[Limit, ...]) -> errors.RateLimited:
    """In the words of the limit as it was set, of which this process alone may have a share only."""
    refused, kind = decision.limit, decision.kind
    assert refused is not None
    assert kind is not None
    limit = next(limit for limit in limits if limit.key == refused.key)
    message = reached(limit, kind)
    if limit != refused:
        message += f" ({allowed(refused, kind)} of them here, while what all gateways count is out of reach)"
    return errors.RateLimited(message, retry_after=decision.retry_after)


def allowed(limit: Limit, kind: Kind) -> int | None:
    """None: it does not limit that."""
    found: int | None = getattr(limit, "concurrency" if kind == "concurrency" else f"{kind}_per_minute")
    return found


def reached(limit: Limit, kind: Kind) -> str:
    return f"rate limit reached: {allowed(limit, kind)} {_SAID[kind]} for this {limit.scope}"
