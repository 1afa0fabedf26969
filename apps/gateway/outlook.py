"""The figures of a call that nobody makes: its size, its cost by deployment, what is left of what restrains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import caching, estimate, pricing
from apps.domain.explanation import BudgetLeft, Cache, Cost, LimitLeft, Moment, Size
from apps.domain.limits import budget as periods
from apps.domain.tokens import TokenUsage
from apps.gateway import admit

if TYPE_CHECKING:
    from apps.domain.density import Density
    from apps.domain.limits.decision import Allowance, Kind, Stand
    from apps.domain.routing.facts import Facts
    from apps.domain.snapshot import Budget, Deployment, Limit
    from apps.gateway.context import RequestContext
    from apps.quotas.selectors import Left


def size(ctx: RequestContext) -> Size:
    most = _most(ctx)
    likely = estimate.input_tokens(ctx.prompt_bytes)
    return Size(
        prompt_bytes=ctx.prompt_bytes,
        likely_tokens=likely,
        most_tokens=most.in_total,
        answer_tokens=most.out_total,
    )


def _most(ctx: RequestContext) -> TokenUsage:
    call, model = ctx.call, ctx.model
    assert call is not None
    assert model is not None
    return estimate.most(
        ctx.prompt_bytes, max_tokens=call.max_tokens, model_cap=model.max_output_tokens, choices=call.choices
    )


def cost(
    ctx: RequestContext, deployment: Deployment, *, density: Density | None = None, expected: int | None = None
) -> Cost:
    """`most` is what is reserved for it; `likely` is known where answers have been seen, of `expected` tokens."""
    card = pricing.card_at(deployment.prices, int(ctx.started_at))
    assert ctx.call is not None
    if card is None:
        return Cost()
    most = _most(ctx)
    if expected is None:
        return Cost(most=pricing.ceiling(most, card))
    tokens_in = density.input_tokens(ctx.prompt_bytes) if density else estimate.input_tokens(ctx.prompt_bytes)
    likely = TokenUsage(in_fresh=tokens_in, out_total=min(most.out_total, expected * ctx.call.choices))
    return Cost(likely=pricing.cost(likely, card), most=pricing.ceiling(most, card))


def moment(deployment: Deployment, facts: Facts, *, rests: float) -> Moment:
    measured = facts.measured(deployment)
    return Moment(
        rests=rests,
        open_for=facts.open_for(deployment),
        is_full=facts.is_full(deployment),
        first_token=measured.first_token,
        tokens_per_second=measured.tokens_per_second,
        success=measured.success,
    )


def allowances(limit: Limit, stand: Stand | None, *, tokens: int) -> list[LimitLeft]:
    needs: dict[Kind, int] = {"requests": 1, "tokens": tokens, "concurrency": 1}
    left: dict[Kind, Allowance | None] = {}
    if stand is not None:
        left = {"requests": stand.requests, "tokens": stand.tokens, "concurrency": stand.places}
    return [
        LimitLeft(
            scope=limit.scope,
            kind=kind,
            limit=allowed,
            left=found.remaining if (found := left.get(kind)) is not None else None,
            needs=needed,
        )
        for kind, needed in needs.items()
        if (allowed := admit.allowed(limit, kind)) is not None
    ]


def budget_left(budget: Budget, left: Left | None, *, most: int | None, now: float, is_known: bool) -> BudgetLeft:
    """A budget of which nothing is `known` to have been used is whole."""
    span = periods.span_of(budget, now=now)
    spent = left.spent if left is not None else 0
    rest = budget.amount + budget.overdraft - spent
    covers = None if not is_known or most is None else rest >= most
    why = periods.closed(budget, now=now)
    if why is not None:
        covers = False
    elif covers is False:
        assert most is not None
        why = periods.refusal(budget, cost=most, left=rest, ends=span.ends)
    elif covers and left is not None and rest - left.promised < (most or 0):
        why = "enough is left, but some of it is promised to calls in flight"
    return BudgetLeft(
        scope=budget.scope,
        subject=budget.subject,
        period=budget.period,
        amount=budget.amount,
        spent=spent if is_known else None,
        promised=left.promised if left is not None else None,
        overdraft=budget.overdraft,
        ends_at=span.ends,
        covers=covers,
        note=why or ("covers the most that the call may cost" if covers else "nobody can say whether it is covered"),
    )


def cache(ctx: RequestContext) -> Cache:
    """Whether an answer would be looked for among those that are kept."""
    principal, model, call = ctx.principal, ctx.model, ctx.call
    assert principal is not None
    assert model is not None
    assert call is not None
    rule = caching.caching_of(ctx.snapshot, principal, model)
    if rule is None:
        return Cache(looked_up=False, reason="no cache policy for this key or model")
    said = caching.wish(ctx.headers.get(b"x-weir-cache"))
    if not caching.is_wanted(rule, said):
        why = "its caller does not want it" if said else "only for calls that ask by x-weir-cache: use"
        return Cache(looked_up=False, reason=why, ttl=rule.ttl)
    asked = caching.read(call.body)
    if asked is None or not caching.may_be_kept(asked, protocol=call.protocol, forced=rule.forced):
        return Cache(looked_up=False, reason="its settings leave the answer to chance, or to more than is kept")
    if said == "refresh":
        return Cache(looked_up=False, reason="its caller wants it made anew", ttl=rule.ttl)
    compares = ""
    if rule.semantic is not None and caching.question(asked, protocol=call.protocol) is not None:
        compares = rule.semantic.model
    alike = f", also for other words that {compares} finds alike" if compares else ""
    return Cache(looked_up=True, reason=f"its policy keeps answers{alike}", ttl=rule.ttl, compares=compares)
