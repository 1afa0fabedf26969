"""May they: every limit that applies, all or nothing, in one step; and the budgets that the attempts will draw on.

A door: the only room that asks the limiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import errors, estimate
from apps.domain.snapshot import UNRESTRAINED

if TYPE_CHECKING:
    from apps.domain.limits.decision import Decision
    from apps.domain.snapshot import Limit, Rules
    from apps.gateway.context import RequestContext
    from apps.quotas.counters import Limiter

_SAID = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "concurrency": "concurrent requests",
}


async def admit(ctx: RequestContext, limiter: Limiter) -> None:
    """Sets `decision` and `budgets`. Raises RateLimited."""
    rules = _rules(ctx)
    limits: list[Limit] = []
    for rule in rules:
        limits += rule.limits
    ctx.budgets = tuple(budget for rule in rules for budget in rule.budgets)
    if not limits:
        return
    assert ctx.call is not None
    tokens = estimate.rate_tokens(ctx.prompt_bytes, max_tokens=ctx.call.max_tokens)
    ctx.decision = await limiter.acquire(limits, tokens=tokens)
    if not ctx.decision.allowed:
        raise _refusal(ctx.decision)


def _rules(ctx: RequestContext) -> list[Rules]:
    """What restrains this call, from the widest subject to the narrowest, empty rules left out."""
    principal, model, snapshot = ctx.principal, ctx.model, ctx.snapshot
    assert principal is not None
    assert model is not None
    candidates = (
        snapshot.tenants[principal.tenant_id],
        snapshot.projects[principal.project_id],
        snapshot.model_rules.get((model.id, None), UNRESTRAINED),
        snapshot.model_rules.get((model.id, principal.tenant_id), UNRESTRAINED),
        principal.user_rules,
        principal.key_rules,
    )
    return [rules for rules in candidates if rules is not UNRESTRAINED]


def _refusal(decision: Decision) -> errors.RateLimited:
    limit, kind = decision.limit, decision.kind
    assert limit is not None
    assert kind is not None
    allowed = getattr(limit, "concurrency" if kind == "concurrency" else f"{kind}_per_minute")
    return errors.RateLimited(
        f"rate limit reached: {allowed} {_SAID[kind]} for this {limit.scope}", retry_after=decision.retry_after
    )
