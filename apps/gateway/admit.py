"""May they: every limit that applies, all or nothing, in one step; and the budgets that the attempts will draw on.

A door: the only room that asks the limiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors, estimate
from apps.domain.snapshot import UNRESTRAINED
from apps.gateway.known import Known

if TYPE_CHECKING:
    from apps.domain.limits.decision import Decision
    from apps.domain.snapshot import Budget, Limit, Model, Outage, Principal, Rules, Snapshot
    from apps.gateway.context import RequestContext
    from apps.quotas.counters import Limiter

_SAID = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "concurrency": "concurrent requests",
}


async def admit(ctx: RequestContext, limiter: Limiter) -> None:
    """Sets `decision` and `budgets`. Raises RateLimited; Unavailable where limits cannot be counted and the tenant then
    wants no calls."""
    limits, ctx.budgets, on_outage = _restraints(ctx)
    if not limits:
        return
    assert ctx.call is not None
    is_counted = ctx.wire.operation == "count"  # nothing is used up
    tokens = 0 if is_counted else estimate.rate_tokens(ctx.prompt_bytes, max_tokens=ctx.call.max_tokens)
    ctx.decision = await limiter.acquire(limits, tokens=tokens, on_outage=on_outage)
    if not ctx.decision.allowed:
        raise _refusal(ctx.decision, limits)


class Restraints(NamedTuple):
    """Nothing comes twice."""

    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]
    on_outage: Outage


_restrained: Known[tuple[int, int, int], tuple[Principal, Restraints]] = Known()  # by key, model and endpoint


def _restraints(ctx: RequestContext) -> Restraints:
    principal, model = ctx.principal, ctx.model
    assert principal is not None
    assert model is not None
    restrained = _restrained.under(ctx.snapshot)
    pinned_id = ctx.pinned.id if ctx.pinned is not None else 0
    known = restrained.get((principal.key_id, model.id, pinned_id))
    if known is None or known[0] is not principal:
        rules = _rules(principal, model, ctx.snapshot, pinned_id=pinned_id)
        found = Restraints(
            tuple(dict.fromkeys(limit for rule in rules for limit in rule.limits)),
            tuple(dict.fromkeys(budget for rule in rules for budget in rule.budgets)),
            ctx.snapshot.on_outage.get(principal.tenant_id, "lease"),
        )
        known = restrained[principal.key_id, model.id, pinned_id] = (principal, found)
    return known[1]


def _rules(principal: Principal, model: Model, snapshot: Snapshot, *, pinned_id: int) -> list[Rules]:
    """What restrains such a call, from the widest subject to the narrowest, empty rules left out."""
    candidates = (
        snapshot.tenants[principal.tenant_id],
        snapshot.projects[principal.project_id],
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
    name = "concurrency" if kind == "concurrency" else f"{kind}_per_minute"
    limit = next(limit for limit in limits if limit.key == refused.key)
    message = f"rate limit reached: {getattr(limit, name)} {_SAID[kind]} for this {limit.scope}"
    if limit != refused:
        message += f" ({getattr(refused, name)} of them here, while what all gateways count is out of reach)"
    return errors.RateLimited(message, retry_after=decision.retry_after)
