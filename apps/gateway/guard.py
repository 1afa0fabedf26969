"""What must not go everywhere: what the call's data policies make of what is in it, before anybody is asked.

A finding is told by its kind and its policy, never by its text or its place: not to the caller, nor to a log.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import msgspec

from apps.domain import errors, estimate, policies
from apps.domain.guardrails import reading
from apps.gateway import metrics, policy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from apps.domain.policies import Rule
    from apps.gateway.context import RequestContext
    from apps.gateway.names import Names
    from apps.policies.findings import Findings

INLINE_BYTES = 32_768
MOST_SECONDS = 20.0  # for a request of which each line has to be looked at; a usual one of 30 MB takes one
_SLICE_SECONDS = 0.005
_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="guard")


async def guard(ctx: RequestContext, findings: Findings | None, names: Names | None = None) -> None:
    """Sets `policy`, and `inspector` where answers are looked into; masks in `call`. `findings` None: nothing is
    counted. Raises PermissionDenied."""
    merged = policy.of(ctx)
    if merged is None:
        return
    ctx.policy = merged.policy
    ledger = _Ledger(ctx, findings)
    if merged.answers and ctx.wire.operation == "generate":
        ctx.inspector = policy.Inspector(ctx, merged.answers, ledger)
    if merged.requests:
        assert ctx.call is not None
        seen = await found(ctx.call.body, merged.requests)
        if names is not None:
            seen += await names.found(ctx.call.body, merged.requests, notes=ctx.notes)
        if seen:
            await _act(ctx, seen, {kind: merged.requests[kind] for kind in seen}, ledger)


async def found(body: bytes, kinds: Collection[str]) -> Counter[str]:
    """How often each kind is in a request. A long one is read in another thread, so that others' calls go on. Raises
    InvalidRequest for what cannot be read, and PermissionDenied for what cannot in time."""
    left = threading.Event()
    try:
        if len(body) <= INLINE_BYTES:
            return await _read(body, kinds)
        return await asyncio.get_running_loop().run_in_executor(_readers, _read_apart, body, kinds, left)
    except RecursionError as error:
        raise errors.InvalidRequest("The request body is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise errors.InvalidRequest(f"A policy has to look into the request body, and cannot: {error}.") from error
    finally:
        left.set()


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


def _read_apart(body: bytes, kinds: Collection[str], left: threading.Event) -> Counter[str]:
    seen: Counter[str] = Counter()
    until = time.monotonic() + MOST_SECONDS
    for passage in reading.passages(body):
        seen.update(passage(kinds))
        if left.is_set():
            break
        if time.monotonic() > until:
            raise policy.refusal("the request takes too long to be looked into, as a policy demands")
    return seen


async def _act(ctx: RequestContext, seen: Counter[str], rules: Mapping[str, Rule], ledger: _Ledger) -> None:
    for kind, rule in rules.items():
        if rule.is_blocked:
            _block(kind, rule, ledger, count=seen[kind], why="which it does not let be sent")
    if masked := {kind: rule for kind, rule in rules.items() if rule.is_masked}:
        await _mask(ctx, seen, masked, ledger)
    if tags := frozenset().union(*(rule.tags for rule in rules.values())):
        assert ctx.policy is not None
        ctx.policy = policies.routed(ctx.policy, tags)
    for kind, rule in rules.items():
        ledger(kind, action=rule.action, policies=rule.policies, count=seen[kind])
        ctx.notes.append(f"found: {kind} x{seen[kind]}, {_done(rule)}")


async def _mask(ctx: RequestContext, seen: Counter[str], rules: Mapping[str, Rule], ledger: _Ledger) -> None:
    """The call as if its caller had written placeholders. Where that cannot be, it is blocked."""
    call, model = ctx.call, ctx.model
    assert call is not None
    assert model is not None
    kind, rule = next(iter(rules.items()))
    if all(policy.relays(deployment, client=call.protocol) for deployment in model.deployments):
        why = f"which it masks: what is sent to {model.name} byte for byte is not masked"
        _block(kind, rule, ledger, count=seen[kind], why=why)
    if len(call.body) <= INLINE_BYTES:
        body = reading.masked(call.body, rules)
    else:
        body = await asyncio.get_running_loop().run_in_executor(_readers, reading.masked, call.body, rules)
    for left in await found(body, rules):
        why = "which it masks, in parts of the request that cannot be told from one another"
        _block(left, rules[left], ledger, count=seen[left], why=why)
    read = ctx.wire.read_request(body)
    read.headers, read.model = call.headers, call.model
    ctx.call, ctx.prompt_bytes, ctx.is_masked = read, estimate.prompt_bytes(body), True


def _block(kind: str, rule: Rule, ledger: _Ledger, *, count: int, why: str) -> NoReturn:
    ledger(kind, action="block", policies=rule.policies, count=count)
    raise policy.refusal(f"policy {rule.by} found {kind} in the request, {why}")


def _done(rule: Rule) -> str:
    done = ["masked"] if rule.is_masked else []
    if rule.tags:
        done.append(f"routed to {', '.join(sorted(rule.tags))}")
    return " and ".join(done) or "flagged"


class _Ledger:
    """Counts findings: for the figures, and by the hour for the policies' pages."""

    def __init__(self, ctx: RequestContext, findings: Findings | None) -> None:
        self._tenant_id = ctx.principal.tenant_id if ctx.principal is not None else 0
        self._at = ctx.started_at
        self._findings = findings

    def __call__(
        self, kind: str, *, action: str, policies: Mapping[int, str], count: int = 1, is_answer: bool = False
    ) -> None:
        if self._findings is None:
            return
        metrics.FINDINGS.labels(kind, action, "answer" if is_answer else "request").inc(count)
        for number in policies:
            self._findings.note(
                number,
                kind,
                action=action,
                tenant_id=self._tenant_id,
                at=self._at,
                is_answer=is_answer,
                count=count,
            )
