"""May they: every limit that applies, all or nothing, in one step; and the budgets that the attempts will draw on.

A door: the only room that asks the limiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import errors, estimate
from apps.domain.snapshot import UNRESTRAINED

if TYPE_CHECKING:
    from apps.domain.limits.decision import Decision
    from apps.domain.snapshot import Budget, Limit, Model, Principal, Rules, Snapshot
    from apps.gateway.context import RequestContext
    from apps.quotas.counters import Limiter

_SAID = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "concurrency": "concurrent requests",
}


async def admit(ctx: RequestContext, limiter: Limiter) -> None:
    """Sets `decision` and `budgets`. Raises RateLimited."""
    limits, ctx.budgets = _restraints(ctx)
    if not limits:
        return
    assert ctx.call is not None
    tokens = estimate.rate_tokens(ctx.prompt_bytes, max_tokens=ctx.call.max_tokens)
    ctx.decision = await limiter.acquire(limits, tokens=tokens)
    if not ctx.decision.allowed:
        raise _refusal(ctx.decision)


class _Memory:
    """What restrains a key's calls of a model, under one snapshot: nothing of an older one is held on to."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.known: dict[tuple[int, int], tuple[Principal, tuple[Limit, ...], tuple[Budget, ...]]] = {}


_memory = _Memory()
_MOST_KNOWN = 4096


def _restraints(ctx: RequestContext) -> tuple[tuple[Limit, ...], tuple[Budget, ...]]:
    principal, model = ctx.principal, ctx.model
    assert principal is not None
    assert model is not None
    if _memory.snapshot is not ctx.snapshot or len(_memory.known) >= _MOST_KNOWN:
        _memory.snapshot, _memory.known = ctx.snapshot, {}
    known = _memory.known.get((principal.key_id, model.id))
    if known is None or known[0] is not principal:
        rules = _rules(principal, model, ctx.snapshot)
        limits = tuple(limit for rule in rules for limit in rule.limits)
        budgets = tuple(budget for rule in rules for budget in rule.budgets)
        known = _memory.known[principal.key_id, model.id] = (principal, limits, budgets)
    return known[1], known[2]


def _rules(principal: Principal, model: Model, snapshot: Snapshot) -> list[Rules]:
    """What restrains such a call, from the widest subject to the narrowest, empty rules left out."""
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
