"""What must not go everywhere: what the call's data policies make of what is in it, before anybody is asked.

A finding is told by its kind and its policy, never by its text or its place: not to the caller, nor to a log.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from apps.domain import errors, estimate, policies
from apps.domain.guardrails import reading
from apps.domain.providers import registry as providers
from apps.gateway import policy, readers
from apps.gateway.enclosed import Enclosed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from apps.domain.policies import Rule
    from apps.gateway.context import RequestContext
    from apps.gateway.names import Names
    from apps.policies.findings import Findings

_SLICE_SECONDS = 0.005


async def guard(ctx: RequestContext, findings: Findings | None, names: Names | None = None) -> None:
    """Sets `policy`, and `inspector` where answers are looked into; masks in `call`. `findings` None: nothing is
    counted. Raises PermissionDenied."""
    merged = policy.of(ctx)
    if merged is None:
        return
    ctx.policy = merged.policy
    ledger = policy.Ledger(ctx, findings)
    if merged.answers and ctx.wire.operation == "generate":
        ctx.inspector = policy.Inspector(ctx, merged.answers, ledger)
    if merged.requests:
        assert ctx.call is not None
        ctx.enclosed = _enclosed(ctx, merged.requests, ledger, names)
        with ledger.reading(merged.requests):
            seen = await found(ctx.call.body, merged.requests, tenant_id=_tenant_of(ctx))
        if names is not None:
            seen += await names.found(ctx.call.body, merged.requests, notes=ctx.notes)
        if headers := _relayed(ctx):
            written = await found(headers, merged.requests, tenant_id=_tenant_of(ctx))
            if unmasked := {kind: merged.requests[kind] for kind in written if merged.requests[kind].is_masked}:
                policy.block(written, unmasked, ledger, where="the headers", why="which it masks: no header is masked")
            seen += written
        if seen:
            await _act(ctx, seen, {kind: merged.requests[kind] for kind in seen}, ledger)


async def found(body: bytes, kinds: Collection[str], *, tenant_id: int) -> Counter[str]:
    """How often each kind is in a request. A long one is read in another thread, so that others' calls go on. Raises
    InvalidRequest for what cannot be read, and PermissionDenied for what cannot in time."""
    try:
        if len(body) <= policy.INLINE_BYTES:
            return await _read(body, kinds)
        return await policy.aside(reading.counting(body, kinds), tenant_id=tenant_id, size=len(body))
    except readers.TooLong as error:
        raise policy.refusal("the request takes too long to be looked into, as a policy demands") from error
    except RecursionError as error:
        raise errors.InvalidRequest("The request body is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise errors.InvalidRequest(f"A policy has to look into the request body, and cannot: {error}.") from error


async def _read(body: bytes, kinds: Collection[str]) -> Counter[str]:
    """With others' calls in between, if it takes long."""
    seen: Counter[str] = Counter()
    until = time.perf_counter() + _SLICE_SECONDS
    for passage in reading.passages(body):
        seen.update(passage(kinds))
        if time.perf_counter() > until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _SLICE_SECONDS
    return seen


async def _act(ctx: RequestContext, seen: Counter[str], rules: Mapping[str, Rule], ledger: policy.Ledger) -> None:
    if blocked := {kind: rule for kind, rule in rules.items() if rule.is_blocked}:
        policy.block(seen, blocked, ledger, why="which it does not let be sent")
    if masked := {kind: rule for kind, rule in rules.items() if rule.is_masked}:
        await _mask(ctx, seen, masked, ledger)
    if tags := frozenset().union(*(rule.tags for rule in rules.values())):
        assert ctx.policy is not None
        ctx.policy = policies.routed(ctx.policy, tags)
    ledger(seen, rules)
    ctx.notes += [f"found: {kind} x{seen[kind]}, {rule.done}" for kind, rule in rules.items()]


async def _mask(ctx: RequestContext, seen: Counter[str], rules: Mapping[str, Rule], ledger: policy.Ledger) -> None:
    """The call as if its caller had written placeholders. Where that cannot be, it is blocked."""
    call, model = ctx.call, ctx.model
    assert call is not None
    assert model is not None
    if all(policy.relays(deployment, client=call.protocol) for deployment in model.deployments):
        why = f"which it masks: what is sent to {model.name} byte for byte is not masked"
        policy.block(seen, rules, ledger, why=why)
    with ledger.reading(rules):
        body = await _masked(call.body, rules, tenant_id=_tenant_of(ctx))
        left = await found(body, rules, tenant_id=_tenant_of(ctx))
    if left:
        why = "which it masks, in parts of the request that cannot be told from one another"
        policy.block(seen, {kind: rules[kind] for kind in left}, ledger, why=why)
    read = ctx.wire.read_request(body)
    read.headers, read.model = call.headers, call.model
    ctx.call, ctx.prompt_bytes, ctx.is_masked = read, estimate.prompt_bytes(body), True


async def _masked(body: bytes, kinds: Collection[str], *, tenant_id: int) -> bytes:
    if len(body) <= policy.INLINE_BYTES:
        return reading.masked(body, kinds)
    try:
        return await policy.aside(reading.masking(body, kinds), tenant_id=tenant_id, size=len(body))
    except readers.TooLong as error:
        raise policy.refusal("the request takes too long to be masked, as a policy demands") from error


def _relayed(ctx: RequestContext) -> bytes:
    """The headers that a provider may be sent as the caller has written them, to be looked into; b"": none."""
    lines = [name + b": " + value for name, value in ctx.headers.items() if name.startswith(providers.FORWARDS)]
    return msgspec.json.encode([[line.decode("latin-1")] for line in lines]) if lines else b""


def _enclosed(ctx: RequestContext, rules: Mapping[str, Rule], ledger: policy.Ledger, names: Names | None) -> Enclosed:
    tenant_id = _tenant_of(ctx)

    async def look(body: bytes, kinds: Collection[str], notes: list[str]) -> Counter[str]:
        seen = await found(body, kinds, tenant_id=tenant_id)
        return seen if names is None else seen + await names.found(body, kinds, notes=notes)

    return Enclosed(ctx, rules, ledger, look=look, mask=partial(_masked, tenant_id=tenant_id))


def _tenant_of(ctx: RequestContext) -> int:
    assert ctx.principal is not None
    return ctx.principal.tenant_id
