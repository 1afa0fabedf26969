"""What would become of a call, and why: the rooms' own questions, asked without sending anything to a provider, booking
or taking anything. A policy that has names looked for asks who finds them, as for a call: that is the guard's own way.

Where it is asked from matters for what is known of the moment: see `Sight`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from apps.domain import errors
from apps.domain.explanation import BudgetLeft, Candidate, Explanation, Finding, LimitLeft, Policy, Refusal, State, Who
from apps.domain.limits.rate import RateTable
from apps.domain.protocols import registry
from apps.domain.routing import needs, reasons
from apps.domain.snapshot import Limit, Principal
from apps.gateway import admit, authenticate, examine, guard, outlook, policy, vantage, ways
from apps.gateway.context import PINNED, RequestContext
from apps.gateway.networks import ANYWHERE
from apps.gateway.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from apps.domain.policies import Merged
    from apps.domain.routing.plan import Plan
    from apps.domain.routing.reasons import Verdict
    from apps.domain.snapshot import Deployment, PinnedEndpoint, Snapshot
    from apps.gateway.context import Message, Scope
    from apps.gateway.engine import Engine
    from apps.gateway.names import Names
    from apps.gateway.networks import Client
    from apps.gateway.vantage import Sight

ENDPOINTS = tuple(registry.ENDPOINTS)
NOBODY = Principal(key_id=0, public_id="", tenant_id=0, project_id=0, user_id=None)
"""Whom nothing restrains."""


class Asked(NamedTuple):
    """A call as it would come in. `headers` by lower-case name."""

    endpoint: str
    body: bytes
    principal: Principal
    headers: Mapping[bytes, bytes] = {}
    pinned: PinnedEndpoint | None = None
    client: Client = ANYWHERE


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """What the data plane's `POST /v1/explain` is sent: the request as the endpoint would get it."""

    endpoint: str
    request: msgspec.Raw


MOST_A_MINUTE = 60  # of one key: it costs as much as a call
BYTES_A_MINUTE = 8 * 1024 * 1024  # of one key; a longer question takes the whole minute
BODY_SECONDS = 30.0
TURN_SECONDS = 10.0  # that one waits for others to be looked into
_told = RateTable()


async def answer(ctx: RequestContext, engine: Engine) -> bytes:
    """For a caller, about its own calls: JSON. Raises a ClientError for what is wrong with the question itself."""
    await authenticate.identify(ctx, engine.configuration)
    assert ctx.principal is not None
    number = ctx.principal.caller
    once = Limit(id=0, key=f"explain:{number}", scope="key", requests_per_minute=MOST_A_MINUTE)
    _take(once, 0, told=f"{MOST_A_MINUTE} explanations a minute")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await examine.body(ctx, engine.max_body_bytes)
    except TimeoutError:
        raise errors.BodyTooSlow("the request body did not come in time") from None
    size = Limit(id=0, key=f"explained:{number}", scope="key", tokens_per_minute=BYTES_A_MINUTE)
    _take(size, len(body), told=f"{BYTES_A_MINUTE} bytes to explain a minute")
    envelope = opened(body)
    asked = Asked(
        envelope.endpoint,
        bytes(envelope.request),
        ctx.principal,
        headers=ctx.headers,
        pinned=ctx.pinned,
        client=ctx.scope.get("client"),
    )
    return msgspec.json.encode(await explain(asked, vantage.inside(engine)))


def _take(limit: Limit, amount: int, *, told: str) -> None:
    decision = _told.admit((limit,), tokens=amount, now=time.monotonic_ns() // 1000)
    if not decision.allowed:
        raise errors.RateLimited(told, retry_after=decision.retry_after)


def opened(body: bytes) -> Envelope:
    """Raises InvalidRequest, naming the field."""
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = str(error)
        raise errors.InvalidRequest(
            message, param=next((name for name in ("endpoint", "request") if f"`{name}`" in message), None)
        ) from None
    if envelope.endpoint not in ENDPOINTS:
        raise errors.InvalidRequest(f"endpoint: one of {', '.join(ENDPOINTS)}", param="endpoint")
    return envelope


async def explain(asked: Asked, sight: Sight) -> Explanation:
    """Never fails for what is asked: what a caller would be told instead of an answer is part of it."""
    ctx = _context(asked, sight.snapshot)
    draft = _Draft(ctx, asked, sight)
    try:
        await draft.fill()
    except errors.GatewayError as error:
        draft.refused(error)
    return draft.written()


def _context(asked: Asked, snapshot: Snapshot) -> RequestContext:
    """Of a call that nobody makes."""

    async def receive() -> Message:
        return {"type": "http.request", "body": asked.body, "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "",
        "headers": list(asked.headers.items()),
        "client": asked.client,
    }
    if asked.pinned is not None:
        scope[PINNED] = asked.pinned
    wire = registry.ENDPOINTS[asked.endpoint]
    ctx = RequestContext(scope, receive, send, wire=wire, endpoint=asked.endpoint, snapshot=snapshot)
    ctx.principal = asked.principal
    return ctx


class _Draft:
    """An explanation as it comes about. The first refusal is what a caller would be told; what can be said besides is
    said all the same."""

    def __init__(self, ctx: RequestContext, asked: Asked, sight: Sight) -> None:
        self._ctx = ctx
        self._asked = asked
        self._sight = sight
        self._refusal: Refusal | None = None
        self._notes = [sight.note] if sight.note else []
        self._told = Explanation(endpoint=asked.endpoint, serves=False, live=not sight.note)

    async def fill(self) -> None:
        ctx, principal, call_of = self._ctx, self._asked.principal, msgspec.structs.replace
        who = Who(
            key=principal.public_id,
            address=self._asked.client[0] if self._asked.client is not None else "",
            tenant_id=principal.tenant_id,
            project_id=principal.project_id,
        )
        self._told = call_of(self._told, who=who)
        if principal is not NOBODY and not authenticate.works(principal, ctx.snapshot):
            raise errors.AuthenticationFailed("invalid API key")
        authenticate.may_come(ctx, principal)
        authenticate.may_use(ctx, principal)
        await examine.examine(ctx, max_bytes=self._sight.max_bytes)
        model, call = ctx.model, ctx.call
        assert model is not None
        assert call is not None
        self._told = call_of(
            self._told,
            model=model.name,
            stream=call.stream,
            needs=_needed(ctx),
            size=outlook.size(ctx),
            strategy=model.strategy,
            cache=outlook.cache(ctx),
        )
        if self._told.cache is not None and self._told.cache.compares:
            self._notes.append(vantage.UNCOMPARED.format(self._told.cache.compares))
        limits, ctx.budgets, _ = admit.restraints(ctx)
        self._told = call_of(self._told, limits=await self._limits(limits))
        self._told = call_of(self._told, policy=await self._policy())
        self._plan()
        self._told = call_of(self._told, budgets=await self._budgets())

    def refused(self, error: errors.GatewayError) -> None:
        self._refusal = self._refusal or refusal_of(error, self._ctx)

    def written(self) -> Explanation:
        serves = self._refusal is None and self._told.first is not None
        if self._is_unplaced():
            self._notes.append(vantage.UNPLACED)
        return msgspec.structs.replace(self._told, refusal=self._refusal, serves=serves, notes=tuple(self._notes))

    def _is_unplaced(self) -> bool:
        """Whether it could depend on the address that nobody has named."""
        model = self._ctx.model
        confined = [self._asked.principal.networks]
        if model is not None:
            confined += [model.networks, *(one.networks for one in model.stand_ins)]
        return self._asked.client is ANYWHERE and any(networks is not None for networks in confined)

    def _plan(self) -> None:
        """Every deployment, those to try first."""
        ctx, sight = self._ctx, self._sight
        assert ctx.call is not None
        ctx.signed = signatures.of(ctx.call.body)
        expected = sight.outputs.expected if sight.outputs is not None else None
        plan = ways.planned(ctx, expected=expected, is_whole=True, facts=sight.facts)
        verdicts = reasons.verdicts(plan, facts=sight.facts)
        shown = [one for verdict in verdicts if (one := self._candidate(verdict, plan)) is not None]
        self._told = msgspec.structs.replace(self._told, deployments=tuple(shown))
        if not plan.tries:
            self.refused(reasons.refusal(plan))

    def _candidate(self, verdict: Verdict, plan: Plan) -> Candidate | None:
        """None: it is reserved for others, of which the caller shall not even know."""
        ctx, sight, deployment = self._ctx, self._sight, verdict.deployment
        principal, model = ctx.principal, ctx.model
        assert principal is not None
        assert model is not None
        is_theirs = deployment.tenant_ids is None or principal.tenant_id in deployment.tenant_ids
        if not is_theirs and not sight.shows_all:
            return None
        expected = sight.outputs.expected(model.id, principal.caller) if sight.outputs is not None else None
        rests = plan.aside.get(deployment.id)
        told = Candidate(
            number=model.deployments.index(deployment) + 1,
            state=_state(verdict, rests=rests),
            reason=verdict.why,
            order=verdict.place,
            credentials=self._credentials(deployment, plan),
            tags=tuple(sorted(deployment.provider.tags)),
            region=deployment.provider.region,
            tier=deployment.tier,
            priority=deployment.priority,
            weight=deployment.weight,
            score=verdict.score,
            seconds=verdict.seconds,
            cost=outlook.cost(ctx, deployment, density=sight.densities.get(deployment.id), expected=expected),
            moment=None if sight.facts is None else outlook.moment(deployment, sight.facts, rests=rests or 0.0),
        )
        if not sight.shows_all:  # whose fallback it is may be a model of others
            return msgspec.structs.replace(
                told, reason=told.reason.replace(f"fallback {deployment.model_name}", "a fallback")
            )
        return msgspec.structs.replace(
            told,
            provider=deployment.provider.name,
            upstream_model=deployment.upstream_model,
            deployment_id=deployment.id,
        )

    def _credentials(self, deployment: Deployment, plan: Plan) -> tuple[str, ...]:
        """A tenant knows its own by their names."""
        found = next((one.credentials for one in plan.options.ways if one.deployment.id == deployment.id), ())
        own = self._asked.principal.tenant_id
        return tuple(one.alias for one in found if self._sight.shows_all or one.tenant_id == own != 0)

    # --- what applies ------------------------------------------------------------------------------------------

    async def _policy(self) -> Policy | None:
        """What the data policies make of it, all as one; nothing is counted as found."""
        ctx = self._ctx
        merged = policy.of(ctx)
        if merged is None:
            return None
        found: Mapping[str, int] = {}
        try:
            async with asyncio.timeout(TURN_SECONDS) as waiting, self._sight.turn:
                waiting.reschedule(None)
                found = await self._found(merged)
        except TimeoutError:
            ctx.policy = merged.policy
            self._notes.append(vantage.UNREAD)
        held = ctx.policy or merged.policy
        return Policy(
            name=held.name,
            required_tags=tuple(sorted(held.required_tags)),
            forbidden_tags=tuple(sorted(held.forbidden_tags)),
            regions=None if held.regions is None else tuple(sorted(held.regions)),
            findings=tuple(
                Finding(kind=kind, count=count, action=merged.requests[kind].action) for kind, count in found.items()
            ),
        )

    async def _found(self, merged: Merged) -> Mapping[str, int]:
        """By kind; a call that would be refused for it is. Names are asked for once."""
        ctx = self._ctx
        assert ctx.call is not None
        body, heard = ctx.call.body, _Heard(self._sight.names)
        try:
            await guard.guard(ctx, None, heard)
        except errors.InvalidRequest as error:  # nothing can be read in it
            self.refused(error)
            return {}
        except errors.GatewayError as error:
            self.refused(error)
        self._notes += heard.notes
        with suppress(errors.GatewayError):  # it takes too long
            tenant_id = self._asked.principal.tenant_id
            return await guard.found(body, frozenset(merged.requests), tenant_id=tenant_id) + heard.counts
        return heard.counts

    async def _limits(self, limits: Sequence[Limit]) -> tuple[LimitLeft, ...]:
        """Each allowance with what is left of it. The first that is not enough refuses."""
        stands = await self._sight.stands(limits) if limits else []
        if stands is None:
            self._notes.append(vantage.UNCOUNTED)
        tokens = admit.tokens_of(self._ctx)
        found = []
        for number, limit in enumerate(limits):
            stand = None if stands is None else stands[number]
            for one in outlook.allowances(limit, stand, tokens=tokens):
                found.append(one)
                if one.passes is False:
                    self.refused(errors.RateLimited(admit.reached(limit, one.kind)))
        return tuple(found)

    async def _budgets(self) -> tuple[BudgetLeft, ...]:
        """Whether each covers the most that the call may cost where it would go."""
        ctx, first = self._ctx, self._told.first
        if not ctx.budgets:
            return ()
        known = await self._sight.left(ctx.budgets, ctx.started_at)
        most = first.cost.most if first is not None else None
        found = []
        for budget in ctx.budgets:
            left = None if known is None else known.get(budget.id)
            one = outlook.budget_left(budget, left, most=most, now=ctx.started_at, is_known=known is not None)
            found.append(one)
            if one.covers is False:
                self.refused(errors.BudgetExhausted(one.note))
        return tuple(found)


class _Heard:
    """What was said by who finds names, to tell it afterwards."""

    def __init__(self, names: Names | None) -> None:
        self._names = names
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    async def found(self, body: bytes, kinds: Collection[str], *, notes: list[str]) -> Counter[str]:
        if self._names is not None:
            self.counts = await self._names.found(body, kinds, notes=self.notes)
        return self.counts


def refusal_of(error: errors.GatewayError, ctx: RequestContext) -> Refusal:
    """As the caller's dialect tells it."""
    shape = ctx.wire.write_error(error, request_id=ctx.public_request_id)
    return Refusal(
        status=shape.status,
        kind=error.kind,
        message=error.message,
        code=error.code,
        param=error.param,
        body=json.loads(shape.body),
    )


def _needed(ctx: RequestContext) -> tuple[str, ...]:
    """Abilities, as people say them."""
    assert ctx.call is not None
    found = needs.of(ctx.call, prompt_bytes=ctx.prompt_bytes)
    wished = ("thinking, if it can be had",) if found.thinks else ()
    return (*(word.replace("_", " ") for word in sorted(found.abilities)), *wished)


def _state(verdict: Verdict, *, rests: float | None) -> State:
    if verdict.place is None:
        return "refused"
    if rests is not None:
        return "waits"
    return "first" if verdict.place == 1 else "next"
