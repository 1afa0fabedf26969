"""What would become of a call, and why: the answer of a dry run. Money is nano-USD, times are seconds, `None` is what
nobody knows or what is not for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from apps.domain import money

State = Literal["first", "next", "waits", "refused"]
ORDERS = {
    "priority": "by priority",
    "weighted": "by weight alone",
    "cheapest": "the cheapest first",
    "fastest": "the fastest first",
    "balanced": "by speed, success and cost together",
}

MARKS: dict[State, str] = {"first": "→", "next": "·", "waits": "~", "refused": "×"}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller would be told: `body` is the whole answer in the dialect of the endpoint, `param` the field that it
    is about."""

    status: int
    kind: str
    message: str
    code: str | None = None
    param: str | None = None
    body: Any = None


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is the public part of it; "": nobody in particular asks, whom nothing restrains. `address` "": nobody said
    where the call would come from."""

    key: str = ""
    address: str = ""
    tenant_id: int = 0
    project_id: int = 0


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt, and the longest answer that is asked for. Tokens: as they are likely counted, and at most."""

    prompt_bytes: int
    likely_tokens: int
    most_tokens: int
    answer_tokens: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind, in the request; never what was found."""

    kind: str
    count: int
    action: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All data policies that the call is under, as one."""

    name: str
    required_tags: tuple[str, ...] = ()
    forbidden_tags: tuple[str, ...] = ()
    regions: tuple[str, ...] | None = None
    findings: tuple[Finding, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of this very call. Both None: there is no price."""

    likely: int | None = None
    most: int | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment fares now. `success` is from 0 to 1."""

    rests: float = 0.0
    open_for: float = 0.0
    is_full: bool = False
    first_token: float | None = None
    tokens_per_second: float | None = None
    success: float | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment. `number` is its place in the model's list, `order` its turn; None: it has none. `waits`: its turn
    comes when it is ready, or nobody else is left. `provider`, `upstream_model` and the id are for who runs them.
    `score`: of 100; `seconds`: until it has likely answered."""

    number: int
    state: State
    reason: str
    order: int | None = None
    provider: str | None = None
    upstream_model: str | None = None
    deployment_id: int | None = None
    credentials: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    region: str = ""
    tier: int = 0
    priority: int = 0
    weight: int = 1
    score: int | None = None
    seconds: float | None = None
    cost: Cost = Cost()
    moment: Moment | None = None

    @property
    def name(self) -> str:
        return self.provider or f"deployment {self.number}"


class LimitLeft(msgspec.Struct, frozen=True, kw_only=True):
    """One allowance of one limit. `left` None: nobody can say."""

    scope: str
    kind: Literal["requests", "tokens", "concurrency"]
    limit: int
    left: int | None = None
    needs: int = 1

    @property
    def passes(self) -> bool | None:
        """A call that needs more than all of it waits for all of it."""
        return None if self.left is None else self.left >= min(self.needs, self.limit)


class BudgetLeft(msgspec.Struct, frozen=True, kw_only=True):
    """Of the present period. `promised`: to processes, for calls of theirs."""

    scope: str
    subject: str
    period: str
    amount: int
    spent: int | None = None
    promised: int | None = None
    overdraft: int = 0
    ends_at: int = 0
    covers: bool | None = None
    note: str = ""


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an answer would be looked for among those that are kept, and why, or why not. `compares`: the model by
    which those to other words would be; "": none would."""

    looked_up: bool
    reason: str
    compares: str = ""
    ttl: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`serves`: somebody would be asked. `live`: what the gateway knows of this moment is in it."""

    endpoint: str
    serves: bool
    model: str = ""
    who: Who = Who()
    refusal: Refusal | None = None
    stream: bool = False
    needs: tuple[str, ...] = ()
    size: Size | None = None
    policy: Policy | None = None
    strategy: str = ""
    deployments: tuple[Candidate, ...] = ()
    limits: tuple[LimitLeft, ...] = ()
    budgets: tuple[BudgetLeft, ...] = ()
    cache: Cache | None = None
    live: bool = True
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Candidate | None:
        """Whom it would go to."""
        return next((one for one in self.deployments if one.state == "first"), None)


def example(endpoint: str, *, model: str) -> dict[str, Any]:
    """The least that an endpoint answers."""
    words = "What is a weir?"
    match endpoint:
        case "responses" | "embeddings":
            return {"model": model, "input": words}
        case "completions" | "chat":
            return {"model": model, "prompt": words}
        case "count_tokens":
            return {"model": model, "messages": [{"role": "user", "content": words}]}
    return {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": words}]}


def text(told: Explanation) -> str:
    """For a terminal."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Explanation) -> Iterator[str]:
    asker = f"weir_{told.who.key}…" if told.who.key else "nobody in particular"
    place = f" from {told.who.address}" if told.who.address else ""
    yield f"{told.model or 'no model'}, asked at {told.endpoint} by {asker}{place}"
    if told.refusal is not None:
        yield f"REFUSED {told.refusal.status}: {told.refusal.message}"
    elif told.first is not None:
        yield f"Would go to {told.first.name}: {told.first.reason}"
    else:
        yield "Would wait for a deployment that is ready"
    if told.size is not None:
        size = told.size
        prompt = f"{size.likely_tokens:,} tokens, at most {size.most_tokens:,}"
        yield f"Prompt: {prompt}; answer up to {size.answer_tokens:,}"
    if told.needs:
        yield f"Needs: {', '.join(told.needs)}"
    yield from _policy(told.policy)
    if told.deployments:
        order = ORDERS.get(told.strategy, "")
        yield f"Deployments, {order}:" if order else "Deployments:"
    for one in told.deployments:
        yield f"  {MARKS[one.state]} {one.order or '-'} {one.name}: {one.reason}{_figures(one)}"
    for limit in told.limits:
        left = "?" if limit.left is None else f"{limit.left:,}"
        yield f"Limit of this {limit.scope}: {left} of {limit.limit:,} {limit.kind} left"
    for budget in told.budgets:
        spent = "?" if budget.spent is None else money.text(budget.spent)
        yield f"Budget of {budget.subject}: {spent} of {money.text(budget.amount)} spent; {budget.note}"
    if told.cache is not None:
        yield f"Cache: {'looked up' if told.cache.looked_up else 'not looked up'}: {told.cache.reason}"
    yield from (f"Note: {note}" for note in told.notes)


def _policy(policy: Policy | None) -> Iterator[str]:
    if policy is None:
        return
    parts = [f"needs {tag}" for tag in policy.required_tags] + [f"not {tag}" for tag in policy.forbidden_tags]
    if policy.regions is not None:
        parts.append(f"only in {', '.join(policy.regions) or 'no region'}")
    yield f"Policy {policy.name}: {'; '.join(parts) or 'no tags, no regions'}"
    yield from (f"  found {found.kind} ×{found.count}: {found.action}" for found in policy.findings)


def _figures(one: Candidate) -> str:
    parts = []
    if one.cost.most is not None:
        likely = f"{money.text(one.cost.likely)}, " if one.cost.likely is not None else ""
        parts.append(f"{likely}at most {money.text(one.cost.most)}")
    if one.score is not None:
        parts.append(f"score {one.score}")
    return f" ({'; '.join(parts)})" if parts else ""
